package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db/cluster"
)

// childDir makes the test binary a parent of a cluster in that folder: it
// prints the URL and waits to be killed.
const childDir = "INVENTIV_CLUSTER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		c, err := cluster.Start(context.Background(), config(dir))
		if err != nil {
			fmt.Fprintln(os.Stdout, "down", err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, "up", c.URL())
		select {}
	}
	os.Exit(m.Run())
}

func config(dir string) cluster.Config {
	return cluster.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}
}

// folder returns a data folder that the server's user can reach. Its path is
// longer than the address of a Unix socket may be.
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

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	var v string
	if err := connect(t, url).QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func exec(t *testing.T, url, sql string) {
	t.Helper()
	if _, err := connect(t, url).Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// postmaster returns the id of the running postmaster, and zero when there is none.
func postmaster(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Split(string(text), "\n")[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestStart_isPrivateAndDurableAndKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, dir)
	for setting, want := range map[string]string{"fsync": "on", "listen_addresses": "", "data_checksums": "on", "full_page_writes": "on"} {
		if got := query(t, c.URL(), "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if url, err := cluster.Running(dir); err != nil || url != c.URL() {
		t.Errorf("Running = %q, %v; want %q", url, err, c.URL())
	}
	exec(t, c.URL(), `CREATE TABLE kept AS SELECT 'yes' AS answer`)
	stop(t, c)
	stop(t, c) // twice is fine
	if url, err := cluster.Running(dir); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after Stop, Running = %q, %v", url, err)
	}
	if pid := postmaster(t, dir); pid != 0 {
		t.Errorf("after Stop the postmaster %d is still there", pid)
	}
	again := start(t, dir)
	if got := query(t, again.URL(), `SELECT current_database() || ' ' || answer FROM kept`); got != "inventiv yes" {
		t.Errorf("after a restart: %q", got)
	}
}

func TestStart_theSecondOnOneFolderSaysSo(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	start(t, dir)
	_, err := cluster.Start(t.Context(), config(dir))
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("err = %v, want a conflict that names process %d", err, os.Getpid())
	}
}

func TestStart_ofTwoAtOnceOneWins(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	var wg sync.WaitGroup
	var got [2]*cluster.Cluster
	var errs [2]error
	for i := range got {
		wg.Go(func() { got[i], errs[i] = cluster.Start(t.Context(), config(dir)) })
	}
	wg.Wait()
	won := 0
	for i, c := range got {
		switch {
		case errs[i] == nil:
			won++
			t.Cleanup(func() { stop(t, c) })
		case !fault.Is(errs[i], fault.Conflict):
			t.Errorf("the loser: %v, want a conflict", errs[i])
		}
	}
	if won != 1 {
		t.Errorf("%d of 2 started, want 1", won)
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

// As root the server runs as somebody else, who may not be able to get to the
// folder; an ordinary user always gets to his own.
func TestStart_aFolderBehindAClosedOne(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(folder(t), "closed")
	if err := os.MkdirAll(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(t.Context(), config(filepath.Join(closed, "pg")))
	if os.Geteuid() != 0 {
		if err != nil {
			t.Fatal(err)
		}
		stop(t, c)
		return
	}
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), closed) {
		t.Errorf("err = %v, want one that names %s", err, closed)
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
	_, err := cluster.Start(t.Context(), config(dir))
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "PostgreSQL 9") {
		t.Errorf("err = %v, want one about PostgreSQL 9", err)
	}
}

func TestFindBinaries_saysWhatIsWrongWithTheFolderGiven(t *testing.T) {
	t.Parallel()
	if _, err := cluster.FindBinaries(t.TempDir(), t.TempDir()); !fault.Is(err, fault.Invalid) {
		t.Errorf("an empty folder: %v, want invalid", err)
	}
	old := t.TempDir()
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(old, name), []byte("#!/bin/sh\necho 'postgres (PostgreSQL) 14.2'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cluster.FindBinaries(old, t.TempDir()); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "14") {
		t.Errorf("PostgreSQL 14: %v, want unavailable", err)
	}
}
