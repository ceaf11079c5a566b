package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// server is a postmaster, ours or adopted.
type server struct {
	process *os.Process
	dead    chan struct{} // closed when it has ended
}

// stop asks for a fast shutdown and waits for it.
func (s *server) stop() {
	_ = s.process.Signal(syscall.SIGINT)
	<-s.dead
}

// boot makes the data folder when there is none, adopts a postmaster that still
// runs or starts one, and returns when the database answers.
func (c *Cluster) boot(ctx context.Context) error {
	if err := c.create(ctx); err != nil {
		return err
	}
	for {
		s, err := c.adopt(ctx)
		if err != nil {
			return err
		}
		adopted := s != nil
		if !adopted {
			if s, err = c.launch(); err != nil {
				return err
			}
		}
		err = c.await(ctx, s)
		if err == nil {
			c.server = s
			return nil
		}
		s.stop()
		if !adopted || ctx.Err() != nil {
			return err
		}
		// It was already on its way down when we found it; the next one is ours.
	}
}

// create runs initdb into a temporary folder and renames it, so that a kill in
// the middle leaves nothing that looks like a cluster.
func (c *Cluster) create(ctx context.Context) error {
	if have := majorOf(c.data); have >= 0 {
		if want := version(c.bin); want > 0 && want != have {
			return fault.Newf(fault.Unavailable, "The data in %s was written by PostgreSQL %d, but only %d is installed.", c.data, have, want).
				WithFix(fmt.Sprintf("Install postgresql-%d, or upgrade the data with pg_upgrade.", have))
		}
		return nil
	}
	fresh := c.data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("clear a half-made cluster: %w", err)
	}
	cmd := c.command("initdb", "--pgdata", fresh, "--username", "inventiv", "--auth", "peer", "--encoding", "UTF8",
		"--locale", "C.UTF-8", "--data-checksums")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	cmd.SysProcAttr.Pdeathsig = 0 // short-lived, and not started from a locked thread
	if err := runUntil(ctx, cmd); err != nil {
		return fault.Newf(fault.Unavailable, "PostgreSQL could not create a cluster in %s: %s", c.data, lastLine(text.String())).WithCause(err)
	}
	ours := userName(os.Geteuid())
	ident := "inv " + quote(ours) + " inventiv\n"
	if c.owner.name != ours {
		ident += "inv " + quote(c.owner.name) + " inventiv\n"
	}
	for name, content := range map[string]string{
		"pg_hba.conf":   "local all all peer map=inv\nlocal replication all peer map=inv\n",
		"pg_ident.conf": ident,
	} {
		if err := os.WriteFile(filepath.Join(fresh, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	if err := os.Rename(fresh, c.data); err != nil {
		return fmt.Errorf("put the new cluster in place: %w", err)
	}
	return nil
}

// quote writes a name for pg_ident.conf.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// launch starts a postmaster. Pdeathsig is tied to the thread that forked, so a
// goroutine locked to its thread starts it and stays until it has ended.
func (c *Cluster) launch() (*server, error) {
	logFile, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	args := []string{"-D", c.data, "-k", c.socket, "-h", ""}
	for _, s := range append([]string{
		"unix_socket_permissions=0700", "max_connections=100", "timezone=UTC", "log_timezone=UTC",
		"log_line_prefix=%m [%p] ", "shared_buffers=64MB", "max_wal_size=512MB",
	}, c.cfg.Extra...) {
		args = append(args, "-c", s)
	}
	cmd := c.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	s := &server{dead: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer logFile.Close()
		err := cmd.Start()
		s.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(s.dead)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return s, nil
}

// command prepares one of PostgreSQL's programs: as the server's account, in its
// own process group so that ^C reaches only us, and killed with us.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...) //nolint:noctx // outlives the context that starts it
	cmd.Dir = c.cfg.Dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if c.cfg.Leave {
		attr = &syscall.SysProcAttr{Setsid: true}
	}
	if c.owner.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(c.owner.uid), Gid: uint32(c.owner.gid), Groups: []uint32{}} //nolint:gosec // ids are small and positive
	}
	cmd.SysProcAttr = attr
	return cmd
}

// runUntil runs cmd and kills it when ctx ends.
func runUntil(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err //nolint:wrapcheck // the caller says what it ran
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	return cmd.Wait() //nolint:wrapcheck // likewise
}

// adopt returns the postmaster that postmaster.pid names when it runs on our
// data, and nil when there is none. It waits for one that is dying.
func (c *Cluster) adopt(ctx context.Context) (*server, error) {
	file := filepath.Join(c.data, "postmaster.pid")
	for deadline := time.Now().Add(5 * time.Second); ; {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil //nolint:nilnil // none to adopt is a good answer
		}
		if err != nil {
			return nil, fmt.Errorf("read postmaster.pid: %w", err)
		}
		lines := strings.Split(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
		if err != nil || pid <= 1 {
			return nil, nil //nolint:nilnil // torn: PostgreSQL sorts it out
		}
		switch look(pid) {
		case gone:
			return nil, nil //nolint:nilnil // stale: PostgreSQL removes it
		case alive:
			if len(lines) > 7 && lines[1] == c.data && strings.TrimSpace(lines[7]) == "ready" && lines[4] == c.socket {
				return watch(pid)
			}
		case zombie:
			if time.Now().After(deadline) { // nobody reaps it: it only looks alive
				if err := os.Remove(file); err != nil {
					return nil, fmt.Errorf("remove the pid file of a dead server: %w", err)
				}
				return nil, nil //nolint:nilnil // the way is free
			}
		}
		if time.Now().After(deadline) {
			return nil, fault.Newf(fault.Conflict, "A PostgreSQL (process %d) holds %s but does not serve it.", pid, c.data).
				WithFix("See " + c.logFile() + "; end that process if it is stuck.")
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for an old server to end: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// watch follows a postmaster that is not our child.
func watch(pid int) (*server, error) {
	p, err := os.FindProcess(pid) // holds a pidfd: a recycled pid is never signalled
	if err != nil {
		return nil, fmt.Errorf("adopt the running server: %w", err)
	}
	s := &server{process: p, dead: make(chan struct{})}
	go func() {
		for look(pid) == alive {
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // another's child cannot be waited for
		}
		close(s.dead)
	}()
	return s, nil
}

type condition int

const (
	gone condition = iota
	zombie
	alive
)

// look tells whether pid is a running postgres. A zombie counts as alive for
// kill(2), and so for PostgreSQL; here it does not.
func look(pid int) condition {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) && exists("/proc/self/stat") {
			return gone
		}
		if syscall.Kill(pid, 0) == nil { // no /proc on this system
			return alive
		}
		return gone
	}
	name, rest, _ := strings.Cut(string(stat[bytes.IndexByte(stat, '(')+1:]), ") ")
	if strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X") {
		return zombie
	}
	if name != "postgres" { // the pid was given to somebody else
		return gone
	}
	return alive
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// await returns when the database inventiv answers; it is created first.
func (c *Cluster) await(ctx context.Context, s *server) error {
	for deadline := time.Now().Add(60 * time.Second); ; {
		err := c.ensureDatabase(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.dead:
			return fault.Newf(fault.Unavailable, "PostgreSQL ended while it started: %s", c.lastLog()).
				WithFix("See " + c.logFile() + ".").WithCause(err)
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fault.New(fault.Timeout, "PostgreSQL did not answer within a minute of its start.").WithFix("See " + c.logFile() + ".").WithCause(err)
		}
	}
}

func (c *Cluster) ensureDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.urlOf("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	var found bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'inventiv')`).Scan(&found); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if found {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE inventiv`); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

func (c *Cluster) lastLog() string {
	text, err := os.ReadFile(c.logFile())
	if err != nil {
		return "no log"
	}
	return lastLine(string(text))
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
