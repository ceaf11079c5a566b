package cli

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pause is between two looks at something that is waited for.
const pause = 400 * time.Millisecond

// watch shows the steps of a deployment's instances, on standard error, until it
// has as many replicas as it wants, at least one, or sleeps. It fails when nobody
// believes any more that it will, and when patience ends.
func (c *call) watch(name string, patience time.Duration) (row, error) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	hint := "It goes on at the server; see inventiv deployments get " + name + "."
	seen := map[string]bool{}
	for {
		d, err := c.look(name, seen)
		if err != nil {
			return nil, err
		}
		if ready := count(d, "ready"); ready > 0 && ready >= count(d.sub("replicas"), "min") || d.text("reason") == "asleep" {
			return d, nil
		}
		select {
		case <-c.Done():
			return nil, &Failure{Exit: ExitFailed, Text: "Interrupted while " + name + " is not ready.", Fix: hint, Code: "interrupted"}
		case <-end.C:
			return nil, &Failure{Exit: ExitTimeout, Text: "After " + patience.String() + ", " + name + " is not ready.", Why: noDash(d.text("message")), Fix: hint, Code: "timeout"}
		case <-tick.C:
		}
	}
}

// look asks once and tells what is new.
func (c *call) look(name string, seen map[string]bool) (row, error) {
	var d, list row
	if err := c.get("/deployments"+path(name), nil, &d); err != nil {
		return nil, err
	}
	if err := c.get("/instances", url.Values{"deployment": {name}}, &list); err != nil {
		return nil, err
	}
	instances := list.rows("items")
	failed := 0
	for _, i := range slices.Backward(instances) { // oldest first
		var detail row
		if err := c.get("/instances"+path(i.text("name")), nil, &detail); err != nil {
			return nil, err
		}
		c.tell(detail, seen)
		if strings.HasSuffix(detail.text("state"), "failed") {
			failed++
		}
	}
	if len(instances) > 0 && failed == len(instances) {
		last := instances[0]
		return nil, &Failure{
			Exit: failedExit(last.text("reason")), Text: name + " could not be started.", Why: noDash(last.text("message")), Code: noDash(last.text("reason")),
			Fix: "See inventiv instances get " + last.text("name") + "; another attempt is made by itself.",
		}
	}
	return d, nil
}

// tell writes each step once, when it is complete or has failed.
func (c *call) tell(instance row, seen map[string]bool) {
	for _, s := range instance.rows("steps") {
		key := instance.text("name") + " " + s.text("generation") + " " + s.text("step")
		if seen[key] || s.text("ended_at") == "-" {
			continue
		}
		seen[key] = true
		mark := "ok  "
		if s.text("failed") == "yes" {
			mark = "fail"
		}
		fmt.Fprintln(c.config.Stderr, strings.TrimSpace(fmt.Sprintf("%s  %s  %-16s %8s  %s", mark, instance.text("name"), s.text("title"), took(s), noDash(s.text("detail")))))
	}
}

// failedExit returns the exit code for the reason an instance failed.
func failedExit(reason string) Exit {
	switch reason {
	case "out_of_stock", "quota", "quota_exceeded":
		return ExitExhausted
	}
	return ExitFailed
}

func count(r row, name string) int {
	n, err := strconv.Atoi(r.text(name))
	if err != nil {
		return 0
	}
	return n
}

func noDash(text string) string {
	if text == "-" {
		return ""
	}
	return text
}
