package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db/cluster"
)

// childDir makes the test binary a parent of a cluster in that folder: it
// prints "up" and waits to be killed.
const childDir = "INVENTIV_CLUSTER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		_, err := cluster.Start(context.Background(), config(dir))
		fmt.Println("up", err)
		select {}
	}
	os.Exit(m.Run())
}

func config(dir string) cluster.Config {
	return cluster.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}
}

// folder returns a data folder that the server's account can reach.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "inventiv-cluster-") //nolint:usetesting // the path of t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "a long name with spaces "+strings.Repeat("x", 120), "pg")
}

func start(t *testing.T, dir string) *cluster.Cluster {
	t.Helper()
	begun := time.Now()
	c, err := cluster.Start(t.Context(), config(dir))
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Logf("up in %s", time.Since(begun).Round(time.Millisecond))
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if err := c.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(t.Context())
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestStart_isPrivateAndDurableAndKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, dir)
	for setting, want := range map[string]string{"fsync": "on", "listen_addresses": "", "data_checksums": "on", "full_page_writes": "on"} {
		if got := query[string](t, c.URL(), "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	query[int](t, c.URL(), "WITH x AS (SELECT 1 AS n) SELECT n FROM x")
	stop(t, c)
	stop(t, c) // twice is fine
	again := start(t, dir)
	if got := query[string](t, again.URL(), "SELECT current_database()"); got != "inventiv" {
		t.Errorf("database = %q, want inventiv", got)
	}
}

func TestStart_theSecondOnOneFolderSaysSo(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	start(t, dir)
	if _, err := cluster.Start(t.Context(), config(dir)); !fault.Is(err, fault.Conflict) {
		t.Errorf("err = %v, want a conflict", err)
	}
}

func TestB44_startRefusesAnUnwritableFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Start(t.Context(), config(filepath.Join(file, "pg"))); !fault.Is(err, fault.Invalid) {
		t.Errorf("err = %v, want invalid", err)
	}
}

func TestStart_refusesDataOfAnotherMajor(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Start(t.Context(), config(dir)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("err = %v, want unavailable", err)
	}
}

// child starts a parent process of a cluster and returns when it is up.
func child(t *testing.T, dir string, attr *syscall.SysProcAttr) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:noctx,gosec // killed by the test
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.SysProcAttr = attr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "up <nil>" {
		t.Fatalf("the child said %q", lines.Text())
	}
	return cmd
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Split(string(text), "\n")[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestStart_afterAKilledParent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kill func(t *testing.T, parent *os.Process, postmaster int)
	}{
		{"the parent alone", func(t *testing.T, parent *os.Process, _ int) {
			t.Helper()
			kill(t, parent.Pid)
		}},
		{"parent and postmaster", func(t *testing.T, parent *os.Process, postmaster int) {
			t.Helper()
			kill(t, postmaster)
			kill(t, parent.Pid)
		}},
		{"parent while the postmaster is frozen", func(t *testing.T, parent *os.Process, postmaster int) {
			t.Helper()
			if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			kill(t, parent.Pid)
			time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(postmaster, syscall.SIGCONT) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			parent := child(t, dir, nil)
			c.kill(t, parent.Process, postmaster(t, dir))
			_ = parent.Wait()
			again := start(t, dir)
			if got := query[int](t, again.URL(), "SELECT 1"); got != 1 {
				t.Errorf("SELECT 1 = %d", got)
			}
		})
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestKeep_startsADeadServerAgain(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, dir)
	kill(t, postmaster(t, dir))
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := pgx.Connect(t.Context(), c.URL())
		if err == nil {
			_ = conn.Close(t.Context())
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not come back: %v", err)
		}
	}
}

func TestStart_asAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	var attr *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}}
	}
	exe, err := os.ReadFile(os.Args[0]) // the test binary lies where others cannot read it
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(filepath.Dir(filepath.Dir(dir)), "child.test")
	if err := os.WriteFile(copied, exe, 0o755); err != nil { //nolint:gosec // it is run by another user
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), copied, "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir, "HOME=/")
	cmd.Dir, cmd.SysProcAttr = "/", attr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "up <nil>" {
		t.Errorf("as an ordinary user: %q", lines.Text())
	}
}
