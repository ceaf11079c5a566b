package cluster_test

import (
	"bufio"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// parent runs the test binary as the parent of a cluster and returns, when the
// cluster is up, its process and the URL.
func parent(t *testing.T, program, dir string, attr *syscall.SysProcAttr) (*osexec.Cmd, string) {
	t.Helper()
	cmd := osexec.Command(program, "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir, "HOME=/")
	cmd.Dir, cmd.SysProcAttr = "/", attr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	lines.Scan()
	url, up := strings.CutPrefix(lines.Text(), "up ")
	if !up {
		t.Fatalf("the parent said %q", lines.Text())
	}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(cfg.Host) }) // a killed parent leaves its socket
	return cmd, url
}

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("send %v to %d: %v", sig, pid, err)
	}
}

// Whatever is killed, the next start finds every committed row.
func TestStart_afterAKilledParent(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(t *testing.T, parent, postmaster int){
		"the parent alone": func(t *testing.T, parent, _ int) {
			t.Helper()
			signal(t, parent, syscall.SIGKILL)
		},
		"parent and postmaster": func(t *testing.T, parent, postmaster int) {
			t.Helper()
			signal(t, parent, syscall.SIGSTOP) // or it would start another
			signal(t, postmaster, syscall.SIGKILL)
			signal(t, parent, syscall.SIGKILL)
		},
		"the parent of a frozen postmaster": func(t *testing.T, parent, postmaster int) {
			t.Helper()
			signal(t, postmaster, syscall.SIGSTOP)
			signal(t, parent, syscall.SIGKILL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			p, url := parent(t, os.Args[0], dir, nil)
			exec(t, url, `CREATE TABLE kept AS SELECT 'yes' AS answer`)
			// A backend that is deep in a query never notices that it is alone.
			busy := connect(t, url)
			go busy.Exec(t.Context(), `DO $$ BEGIN LOOP END LOOP; END $$`) //nolint:errcheck // it never returns
			await(t, func() bool {
				return query(t, url, `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'`+
					` AND pid <> pg_backend_pid()`) == "1"
			})

			kill(t, p.Process.Pid, postmaster(t, dir))
			_ = p.Wait()
			again := start(t, dir)
			if got := query(t, again.URL(), `SELECT answer FROM kept`); got != "yes" {
				t.Errorf("the committed row is %q", got)
			}
		})
	}
}

// await returns when the condition holds.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in 20 s")
		}
	}
}

// A pid file may name a process that has nothing to do with it: numbers are
// given again, and soon in a container. PostgreSQL would refuse to start.
func TestStart_aPidFileThatNamesSomebodyElse(t *testing.T) {
	t.Parallel()
	other := folder(t)
	bystander := start(t, other)
	dir := folder(t)
	stop(t, start(t, dir))
	lock := strconv.Itoa(postmaster(t, other)) + "\n" + filepath.Join(dir, "data") + "\n1\n5432\n\n\n\nready\n"
	if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
	if got := query(t, bystander.URL(), `SELECT 'unharmed'`); got != "unharmed" {
		t.Error(got)
	}
}

func TestKeep_startsADeadServerAgain(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, dir)
	signal(t, postmaster(t, dir), syscall.SIGKILL)
	await(t, func() bool {
		conn, err := pgx.Connect(t.Context(), c.URL())
		if err != nil {
			return false
		}
		defer conn.Close(t.Context())
		return conn.Ping(t.Context()) == nil
	})
}

// The whole life as somebody who is not root: made, killed, started again.
func TestStart_asAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	program := os.Args[0]
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
		binary, err := os.ReadFile(program) // lies where others cannot read it
		if err != nil {
			t.Fatal(err)
		}
		program = filepath.Join(filepath.Dir(filepath.Dir(dir)), "child.test")
		if err := os.WriteFile(program, binary, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		p, _ := parent(t, program, dir, attr)
		signal(t, p.Process.Pid, syscall.SIGKILL)
		_ = p.Wait()
	}
}
