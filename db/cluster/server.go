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
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// server is a postmaster that we started.
type server struct {
	process *os.Process
	dead    chan struct{} // closed when it has ended
}

// stop asks for a fast shutdown, later for an immediate one, and waits for it.
func (s *server) stop() {
	_ = s.process.Signal(syscall.SIGINT) // it may have ended, and so below
	select {
	case <-s.dead:
	case <-time.After(fastShutdown):
		_ = s.process.Signal(syscall.SIGQUIT)
		<-s.dead
	}
}

// boot makes the data folder when there is none, ends what an earlier process
// left running on it, starts a postmaster and returns when the database
// answers. A left-over is replaced, not adopted: it would run with the settings
// and the binaries of yesterday, and outlive us. A clean shutdown and a start
// take less than a tenth of a second together.
func (c *Cluster) boot(ctx context.Context) error {
	if err := c.create(ctx); err != nil {
		return err
	}
	if c.cfg.Leave && serving(c.data) == c.socket {
		return c.await(ctx, &server{})
	}
	if err := clearRemains(ctx, c.data, c.socket); err != nil {
		return fmt.Errorf("end the server that was left running: %w", err)
	}
	s, err := c.launch()
	if err != nil {
		return err
	}
	if err := c.await(ctx, s); err != nil {
		s.stop()
		return err
	}
	c.server = s
	return nil
}

// create runs initdb into a temporary folder and renames it, so that a kill in
// the middle leaves nothing that looks like a cluster.
func (c *Cluster) create(ctx context.Context) error {
	if have := majorOf(c.data); have >= 0 {
		if found := version(c.bin); found != have {
			return fault.Newf(fault.Unavailable, "The data in %s was written by PostgreSQL %d, but the one in %s is version %d.", c.data, have, c.bin, found).
				WithFix(fmt.Sprintf("Install postgresql-%d beside it, name its folder with PG_BIN, or upgrade the data with pg_upgrade.", have))
		}
		return nil
	}
	fresh := c.data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("clear a half-made cluster: %w", err)
	}
	if err := errors.Join(os.Mkdir(fresh, 0o700), c.own(fresh)); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	cmd := c.command("initdb", "--pgdata", fresh, "--username", "inventiv", "--auth", "peer", "--encoding", "UTF8",
		"--locale", "C.UTF-8", "--data-checksums")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // an unfinished folder is thrown away
	if err := runUntil(ctx, cmd); err != nil {
		return fault.Newf(fault.Unavailable, "PostgreSQL could not create a cluster in %s: %s", c.data, lastLines(text.String())).WithCause(err)
	}
	ours := userName(os.Geteuid())
	ident := "inv " + quote(ours) + " inventiv\n"
	if c.owner.name != ours {
		ident += "inv " + quote(c.owner.name) + " inventiv\n"
	}
	for name, content := range map[string]string{
		"pg_hba.conf":   "local all,replication all peer map=inv\n",
		"pg_ident.conf": ident,
	} {
		if err := os.WriteFile(filepath.Join(fresh, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	if err := os.Rename(fresh, c.data); err != nil {
		return fmt.Errorf("put the new cluster in place: %w", err)
	}
	return syncDir(c.cfg.Dir)
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the data folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write the data folder to disk: %w", err)
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
		attr.Credential = &syscall.Credential{Uid: uint32(c.owner.uid), Gid: uint32(c.owner.gid), Groups: []uint32{}}
	}
	cmd.SysProcAttr = attr
	return cmd
}

// runUntil runs cmd and kills it when ctx ends.
func runUntil(ctx context.Context, cmd *exec.Cmd) error {
	runtime.LockOSThread() // Pdeathsig, as in launch
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err //nolint:wrapcheck // the caller says what it ran
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	return cmd.Wait() //nolint:wrapcheck // likewise
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
	conn, err := pgx.Connect(ctx, urlOf(c.socket, "postgres"))
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
	return lastLines(string(text))
}

// lastLines returns as much of a program's output as fits a sentence.
func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
