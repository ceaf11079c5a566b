package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pidFile is what a postmaster writes into postmaster.pid.
type pidFile struct {
	pid    int
	socket string // folder of the Unix socket; empty without one
	status string // "starting", "ready", "stopping"
}

func readPIDFile(data string) (pidFile, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return pidFile{}, err
	}
	// pid, data folder, start time, port, socket folder, listen address,
	// shared memory, status; the last ones come later than the first.
	lines := strings.Split(string(text), "\n")
	line := func(n int) string {
		if n < len(lines) {
			return strings.TrimSpace(lines[n])
		}
		return ""
	}
	pid, err := strconv.Atoi(line(0))
	if err != nil {
		return pidFile{}, fmt.Errorf("read postmaster.pid: %w", err)
	}
	return pidFile{pid: pid, socket: line(4), status: line(7)}, nil
}

// serving returns the socket folder through which a live postmaster serves the
// data folder, whoever started it, and nothing when there is none.
func serving(data string) string {
	f, err := readPIDFile(data)
	if err != nil || f.status != "ready" || !slices.Contains(processes(data), f.pid) {
		return ""
	}
	return f.socket
}

// processes returns the ids of all live PostgreSQL processes of the data
// folder: the postmaster, its children, and children it left behind. A zombie
// is not alive, although signals still reach it.
func processes(data string) []int {
	data, err := filepath.EvalSymlinks(data)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && serves(e.Name(), data) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// serves reports whether the process is a live postgres of the data folder:
// each of them works inside it. A pid alone proves nothing, it may have been
// given to somebody else since. The name of its program would not do either: a
// dying process loses that before it lets go of the shared memory, for which
// PostgreSQL refuses to start, and loses its folder after.
func serves(pid, data string) bool {
	cwd, err := os.Readlink("/proc/" + pid + "/cwd")
	if err != nil || cwd != data {
		return false // another user's, or a zombie, which has no folder
	}
	name, err := os.ReadFile("/proc/" + pid + "/comm")
	return err == nil && strings.TrimSpace(string(name)) == "postgres"
}

// Patience of clearRemains with each way of asking.
const (
	fastShutdown   = 10 * time.Second
	immediateEnd   = 3 * time.Second
	afterKill      = 5 * time.Second
	clearPollEvery = 5 * time.Millisecond
)

// clearRemains ends whatever a dead parent left running on the data folder and
// removes the lock files that nobody stands behind, so that a new server can
// start. It asks with patience first: a clean shutdown, then an immediate one,
// then SIGKILL; each is safe for the data. The caller holds the cluster's lock.
func clearRemains(ctx context.Context, data, socket string) error {
	steps := []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGINT, fastShutdown}, {syscall.SIGQUIT, immediateEnd}, {syscall.SIGKILL, afterKill}}
	for _, step := range steps {
		pids := processes(data)
		if len(pids) == 0 {
			break
		}
		f, err := readPIDFile(data)
		switch led := err == nil && slices.Contains(pids, f.pid); {
		case led && step.sig != syscall.SIGKILL:
			pids = []int{f.pid} // the postmaster ends its children in good order
		case !led && step.sig == syscall.SIGINT:
			continue // to a backend on its own it only means "cancel the query"
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, step.sig)        // it may be gone by now
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may be stopped
		}
		if err := waitGone(ctx, data, step.wait); err != nil {
			return err
		}
	}
	if pids := processes(data); len(pids) > 0 {
		return fmt.Errorf("end the PostgreSQL processes %v of %s: they survive SIGKILL", pids, data)
	}
	for _, file := range []string{
		filepath.Join(data, "postmaster.pid"),
		filepath.Join(socket, ".s.PGSQL.5432.lock"),
		filepath.Join(socket, ".s.PGSQL.5432"),
	} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// waitGone returns when no process of the data folder is left or time is up.
func waitGone(ctx context.Context, data string, atMost time.Duration) error {
	deadline := time.NewTimer(atMost)
	defer deadline.Stop()
	tick := time.NewTicker(clearPollEvery)
	defer tick.Stop()
	for len(processes(data)) > 0 {
		select {
		case <-tick.C:
		case <-deadline.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
