package views

import (
	"time"

	"github.com/a-h/templ"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// InstanceRow is an instance in a list.
type InstanceRow struct {
	ID, Name   string
	Model      string
	State      string
	Where      string // "L4-1-24G · fr-par-2"
	Progress   int
	Step       string // code of the step in progress
	Reason     string // a sentence, when it waits or failed
	Quiet      string // "not heard from for 40 s", or why no requests go there; empty while all is well
	Cordoned   bool
	Tokens     []float64 // tokens per second over the last hour, oldest first
	Running    int       // requests in progress
	GPU        float64   // share in use; below 0 when unknown
	PerHour    money.EUR // while it is billed
	Billed     bool
	Since      time.Time // of the present state
	Simulated  bool
	Deployment string
}

func (r InstanceRow) href() string { return "/instances/" + r.ID }

func (r InstanceRow) moving() bool { return stateOf(r.State).Kind == "busy" }

func (r InstanceRow) rate() string {
	if len(r.Tokens) == 0 {
		return ""
	}
	return Count(int64(r.Tokens[len(r.Tokens)-1]+0.5)) + " tok/s"
}

// activity is the sentence beside a row that does not serve.
func (r InstanceRow) activity() string {
	if r.Reason != "" {
		return r.Reason
	}
	if d, ok := doing[r.Step]; ok && r.moving() {
		return d
	}
	return ""
}

// Instances is the list of instances.
type Instances struct {
	Rows    []InstanceRow
	Filter  string // "running", "ended" or "all"
	Running int
	PerHour money.EUR
	May     May
}

// Title implements Page.
func (p Instances) Title() string {
	switch {
	case p.Running == 0:
		return "No instance is running"
	case p.May.Costs:
		return Plural(p.Running, "instance", "instances") + " at " + EUR(p.PerHour) + " per hour"
	}
	return Plural(p.Running, "instance is running", "instances are running")
}

// Fragment implements Live.
func (p Instances) Fragment(name string) templ.Component {
	if name == "instances" {
		return p.content()
	}
	return nil
}

func (p Instances) path() string {
	if p.Filter == "" || p.Filter == "running" {
		return "/instances"
	}
	return "/instances?show=" + p.Filter
}

func (p Instances) nothing() Empty {
	if p.Filter == "ended" {
		return Empty{Icon: "archive", Title: "Nothing has ended yet", Text: "Terminated instances and what they cost stay here."}
	}
	return Home{May: p.May}.nothingRuns()
}

// tab is one of a few ways to look at a page.
type tab struct {
	Href, Title string
	Current     bool
}

func (p Instances) tabs() []tab {
	return []tab{
		{"/instances", "Running", p.Filter == "" || p.Filter == "running"},
		{"/instances?show=ended", "Ended", p.Filter == "ended"},
		{"/instances?show=all", "All", p.Filter == "all"},
	}
}
