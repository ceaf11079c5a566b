package mock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mark is in the environment of every process of a server: that is how an agent
// is found whose start nobody lived to write down.
const mark = "MOCK_SERVER="

// stat is what /proc tells of a process.
type stat struct {
	pid, session int
	zombie       bool
	started      string // ticks since the host started, with the host's boot id
}

func readStat(pid int) (stat, bool) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	end := bytes.LastIndexByte(raw, ')') // the name before it may hold anything
	fields := strings.Fields(string(raw[end+1:]))
	if end < 0 || len(fields) < 20 {
		return stat{}, false
	}
	session, err := strconv.Atoi(fields[3])
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // the same host start or none
	return stat{
		pid: pid, session: session, zombie: fields[0] == "Z" || fields[0] == "X",
		started: fields[19] + "@" + strings.TrimSpace(string(boot)),
	}, err == nil
}

// alive reports whether the server's agent is the process that was written
// down, and not another one that got its number since.
func (s *server) alive() bool {
	if s.PID == 0 {
		return false
	}
	st, ok := readStat(s.PID)
	return ok && !st.zombie && st.started == s.Started
}

// processes returns every process of the server: those that carry its mark, and
// those of its agent's session. A recycled number is in neither.
func (c *Cloud) processes(s *server) []stat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	leader := s.alive()
	home := c.home(s.ID)
	var found []stat
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		st, ok := readStat(pid)
		if !ok || st.zombie {
			continue
		}
		ours := leader && st.session == s.PID
		if !ours {
			environ, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
			ours = err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+mark+s.ID+"\x00"))
		}
		if !ours && s.PID != 0 && st.session == s.PID {
			cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
			ours = err == nil && strings.HasPrefix(cwd+"/", home+"/")
		}
		if ours {
			found = append(found, st)
		}
	}
	return found
}

// kill ends every process of the server, as switching a machine off would.
func (c *Cloud) kill(ctx context.Context, s *server) error {
	return c.signal(ctx, s, syscall.SIGKILL)
}

// signal sends sig to the server's processes until none is left.
func (c *Cloud) signal(ctx context.Context, s *server, sig syscall.Signal) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for sent := false; ; {
		left := c.processes(s)
		if len(left) == 0 {
			s.PID, s.Started = 0, ""
			return nil
		}
		for _, p := range left {
			if sent && sig != syscall.SIGKILL {
				break // asked once, then waited for
			}
			if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end process %d of server %s: %w", p.pid, s.ID, err)
			}
		}
		sent = true
		select {
		case <-ctx.Done():
			return fmt.Errorf("end the processes of server %s: %w", s.ID, ctx.Err())
		case <-tick.C:
		}
	}
}

// start runs the server's agent in a session of its own, so that it outlives
// this process, and writes down which process it is.
func (c *Cloud) start(s *server) error {
	home := c.home(s.ID)
	argv, env := c.agent(Agent{
		StateDir: filepath.Join(home, "agent"), Instance: s.Instance, Endpoint: s.Endpoint,
		CAFile: filepath.Join(home, "ca.pem"), TokenFile: filepath.Join(home, "join-token"),
	})
	out, err := os.OpenFile(filepath.Join(home, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the console of server %s: %w", s.ID, err)
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it outlives every context
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, out, out
	cmd.Env = append(slices.Clone(env), mark+s.ID)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the agent of server %s: %w", s.ID, err)
	}
	st, _ := readStat(cmd.Process.Pid)
	s.PID, s.Started = cmd.Process.Pid, st.started
	go func() { _ = cmd.Wait() }() // so that it leaves no zombie while we live
	return nil
}
