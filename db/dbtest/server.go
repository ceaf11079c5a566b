package dbtest

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/cluster"
	"github.com/inventiv-it-for-ai/inventiv/migrations"
)

// Server is a PostgreSQL of one test's own, to be stopped, frozen and killed.
// Its database has all migrations applied.
type Server struct {
	tb  testing.TB
	dir string
	c   *cluster.Cluster
}

// NewServer starts a server for the test and ends it after the test.
func NewServer(tb testing.TB) *Server {
	tb.Helper()
	sweep(memory())
	dir, err := os.MkdirTemp(memory(), "inventiv-own-") //nolint:usetesting // in memory, and open to the server's own user
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the server's own user must enter it
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{tb: tb, dir: filepath.Join(dir, "pg")}
	s.Start()
	tb.Cleanup(s.Stop)
	pool := open(tb, s.URL())
	if _, err := db.Migrate(tb.Context(), pool, migrations.FS); err != nil {
		tb.Fatalf("migrate: %v", err)
	}
	// A crash must not take the migrations with it: nothing else here waits for
	// the disk.
	if _, err := pool.Exec(tb.Context(), "CHECKPOINT"); err != nil {
		tb.Fatalf("checkpoint: %v", err)
	}
	pool.Close()
	return s
}

// sweep removes what killed tests have left: their servers died with them, but
// the folders take memory.
func sweep(parent string) {
	old, _ := filepath.Glob(filepath.Join(parent, "inventiv-own-*")) // the pattern is well-formed
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir) // another user's stays
		}
	}
}

// URL returns the connection string; it stays the same over restarts.
func (s *Server) URL() string { return s.c.URL() }

// Start starts the server again after Stop.
func (s *Server) Start() {
	s.tb.Helper()
	c, err := cluster.Start(context.WithoutCancel(s.tb.Context()), cluster.Config{
		Dir: s.dir, Extra: speed, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.tb.Fatalf("start a server: %v", err)
	}
	s.c = c
}

// Stop shuts the server down: every connection is cut. It may be called twice.
func (s *Server) Stop() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.tb.Context()), time.Minute)
	defer cancel()
	s.Thaw()
	if err := s.c.Stop(ctx); err != nil {
		s.tb.Errorf("stop the server: %v", err)
	}
}

// Copy stops the server, puts a copy of its data aside and starts it again. What
// it returns puts that copy in the place of the data: the server has then lost
// what was committed since, as a standby that is promoted too early has.
func (s *Server) Copy() (restore func()) {
	s.tb.Helper()
	aside := s.dir + "-copy"
	replace := func(from, to string) {
		s.tb.Helper()
		s.Stop()
		if err := os.RemoveAll(to); err != nil {
			s.tb.Fatal(err)
		}
		if out, err := exec.CommandContext(s.tb.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil { // keeps owners and modes
			s.tb.Fatalf("copy the server's data: %v: %s", err, out)
		}
		s.Start()
	}
	replace(s.dir, aside)
	return func() { replace(aside, s.dir) }
}

// Crash kills the server as pg_ctl stop -m immediate does; it comes back by
// itself after crash recovery.
func (s *Server) Crash() { s.signal(syscall.SIGQUIT) }

// Freeze stops every process of the server without ending them: connections
// stay open and nobody answers.
func (s *Server) Freeze() { s.signalGroup(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() { s.signalGroup(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	if pid := s.pid(); pid > 0 {
		_ = syscall.Kill(pid, sig)
	}
}

// signalGroup reaches the postmaster and, as each backend has a group of its
// own, every child of it.
func (s *Server) signalGroup(sig syscall.Signal) {
	pid := s.pid()
	if pid <= 0 {
		return
	}
	_ = syscall.Kill(pid, sig)
	children, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "task", strconv.Itoa(pid), "children"))
	for child := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, sig)
		}
	}
}

func (s *Server) pid() int {
	text, err := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.Split(string(text), "\n")[0])
	if err != nil {
		return 0
	}
	return n
}
