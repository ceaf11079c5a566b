package mock_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/providertest"
)

func open(t *testing.T, dir string) *mock.Cloud {
	t.Helper()
	c, err := mock.New(mock.Config{
		Dir: dir, Log: slog.New(slog.DiscardHandler),
		Agent: func(mock.Agent) (argv, env []string) {
			return []string{"sleep", "600"}, []string{"PATH=" + os.Getenv("PATH")}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func knobs(t *testing.T, dir string, k mock.Knobs) {
	t.Helper()
	raw, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mock.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Target{
		Provider: open(t, t.TempDir()), Zone: "local-1", Type: "SIM-L4-1-24G", Absent: "L5-9000", Patience: 10 * time.Second,
	})
}

func TestContract_ofASlowCloud(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir)
	knobs(t, dir, mock.Knobs{Delay: mock.Delay{Call: 1, Boot: 30, Delete: 30, List: 30}})
	providertest.Run(t, providertest.Target{
		Provider: c, Zone: "local-2", Type: "SIM-H100-1-80G", Absent: "", Patience: 10 * time.Second,
	})
}

// running makes a server with an agent and returns it with the agent's pid.
func running(t *testing.T, c *mock.Cloud, dir string) (instance.Server, int) {
	t.Helper()
	ctx := t.Context()
	s, err := c.Create(ctx, instance.ServerSpec{
		Tags: instance.Tags{Installation: uuid.New(), Instance: uuid.New()}, Zone: "local-1", Type: "SIM-L4-1-24G",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = c.Delete(context.WithoutCancel(ctx), instance.ResourceRef{Kind: instance.KindServer, Zone: s.Ref.Zone, ID: s.Ref.ID})
	})
	if err := c.PowerOn(ctx, s.Ref); err != nil {
		t.Fatal(err)
	}
	spec := instance.InstallSpec{Instance: uuid.New(), Generation: 1, Token: "hush", CA: []byte("ca")}
	for range 2 { // the second changes nothing
		if done, err := c.Install(ctx, s.Ref, spec); err != nil || !done.Done {
			t.Fatalf("Install = %+v, %v", done, err)
		}
	}
	return s, pidOf(t, dir, s.Ref.ID)
}

func pidOf(t *testing.T, dir, id string) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "inventory.json"))
	if err != nil {
		t.Fatal(err)
	}
	var inv struct {
		Servers map[string]struct {
			PID int `json:"pid"`
		} `json:"servers"`
	}
	if err := json.Unmarshal(raw, &inv); err != nil {
		t.Fatal(err)
	}
	return inv.Servers[id].PID
}

func alive(pid int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(raw), ") Z ")
}

func TestInstall_theTokenIsPrivateAndTheFolderGoesWithTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir)
	s, pid := running(t, c, dir)
	home := filepath.Join(dir, "servers", s.Ref.ID)
	info, err := os.Stat(filepath.Join(home, "join-token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info, err)
	}
	if sid, err := syscall.Getpgid(pid); err != nil || sid != pid {
		t.Errorf("the agent is in group %d, %v; want its own", sid, err)
	}
	d, err := c.Delete(t.Context(), instance.ResourceRef{Kind: instance.KindServer, Zone: s.Ref.Zone, ID: s.Ref.ID})
	if err != nil || !d.Gone || alive(pid) {
		t.Errorf("Delete = %+v, %v; agent alive: %t", d, err, alive(pid))
	}
	if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// A number that was given to another process since is nobody's to kill.
func TestDelete_aRecycledPidIsNotKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir)
	s, pid := running(t, c, dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-time.After(30 * time.Millisecond) // start times are told in ticks of 10 ms; numbers do not come round that fast
	bystander := exec.Command("sleep", "600")
	bystander.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	path := filepath.Join(dir, "inventory.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, now := `"pid": `+strconv.Itoa(pid), `"pid": `+strconv.Itoa(bystander.Process.Pid)
	if err := os.WriteFile(path, []byte(strings.Replace(string(raw), old, now, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if pidOf(t, dir, s.Ref.ID) != bystander.Process.Pid {
		t.Fatal("the inventory was not changed")
	}
	d, err := c.Delete(t.Context(), instance.ResourceRef{Kind: instance.KindServer, Zone: s.Ref.Zone, ID: s.Ref.ID})
	if err != nil || !d.Gone {
		t.Errorf("Delete = %+v, %v", d, err)
	}
	if !alive(bystander.Process.Pid) {
		t.Error("a process that is nobody's was killed")
	}
}

// A crash between the start of an agent and its record: the agent may have
// joined with its key, so the repetition keeps it.
func TestInstall_afterACrashKeepsTheIdentity(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := t.TempDir()
	c := open(t, dir)
	s, err := c.Create(ctx, instance.ServerSpec{
		Tags: instance.Tags{Installation: uuid.New(), Instance: uuid.New()}, Zone: "local-1", Type: "SIM-L4-1-24G",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PowerOn(ctx, s.Ref); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "inventory.json")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	install := func(generation int) int {
		if _, err := c.Install(ctx, s.Ref, instance.InstallSpec{Instance: uuid.New(), Generation: generation, Token: "hush"}); err != nil {
			t.Fatal(err)
		}
		return pidOf(t, dir, s.Ref.ID)
	}
	lost := install(1)
	key := filepath.Join(dir, "servers", s.Ref.ID, "agent", "key")
	if err := os.WriteFile(key, []byte("made by the agent"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	install(1)
	if _, err := os.Stat(key); err != nil || alive(lost) {
		t.Errorf("the key: %v; the unrecorded agent is alive: %t", err, alive(lost))
	}
	install(2)
	if _, err := os.Stat(key); !os.IsNotExist(err) {
		t.Errorf("another generation has the old key: %v", err)
	}
	if _, err := c.Delete(ctx, instance.ResourceRef{Kind: instance.KindServer, Zone: s.Ref.Zone, ID: s.Ref.ID}); err != nil {
		t.Error(err)
	}
}

// An agent whose start was never written down is found by its mark.
func TestDelete_anUnrecordedAgentIsEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir)
	s, _ := running(t, c, dir)
	lost := exec.Command("sleep", "600")
	lost.Env = []string{"MOCK_SERVER=" + s.Ref.ID}
	if err := lost.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = lost.Wait() }()
	defer func() { _ = lost.Process.Kill() }()
	if _, err := c.Delete(t.Context(), instance.ResourceRef{Kind: instance.KindServer, Zone: s.Ref.Zone, ID: s.Ref.ID}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("it still runs")
	}
}

func TestSupervise_startsWhatHasEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir)
	s, pid := running(t, c, dir)
	if n, err := c.Supervise(t.Context()); n != 0 || err != nil {
		t.Errorf("Supervise = %d, %v; want nothing to do", n, err)
	}
	if err := c.Shutdown(t.Context()); err != nil || alive(pid) {
		t.Errorf("Shutdown = %v, alive: %t", err, alive(pid))
	}
	if n, err := open(t, dir).Supervise(t.Context()); n != 1 || err != nil || !alive(pidOf(t, dir, s.Ref.ID)) {
		t.Errorf("Supervise = %d, %v", n, err)
	}
}

// Several processes of a host share the folder; here several clouds do.
func TestStock_isNeverExceeded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir) // makes the folder
	knobs(t, dir, mock.Knobs{Stock: map[string]int{"SIM-L4-1-24G": 3}})
	var g sync.WaitGroup
	results := make(chan error, 20)
	for range 20 {
		c := open(t, dir)
		g.Go(func() {
			_, err := c.Create(t.Context(), instance.ServerSpec{
				Tags: instance.Tags{Installation: uuid.New(), Instance: uuid.New()}, Zone: "local-1", Type: "SIM-L4-1-24G",
			})
			results <- err
		})
	}
	g.Wait()
	close(results)
	made := 0
	for err := range results {
		switch instance.KindOf(err) {
		case "":
			made++
		case instance.KindOutOfStock:
		default:
			t.Errorf("Create = %v", err)
		}
	}
	if made != 3 {
		t.Errorf("%d servers from a stock of 3", made)
	}
}

func TestFailures_byCountAndLate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir)
	installation := uuid.New()
	create := func() error {
		_, err := c.Create(t.Context(), instance.ServerSpec{
			Tags: instance.Tags{Installation: installation, Instance: uuid.New()}, Zone: "local-1", Type: "SIM-L4-1-24G",
		})
		return err
	}
	count := func() int {
		all, err := c.List(t.Context(), instance.Query{Installation: installation})
		if err != nil {
			t.Fatal(err)
		}
		return len(all) / 3
	}
	knobs(t, dir, mock.Knobs{Failures: map[string]mock.Failure{"create": {Count: 1, Kind: instance.KindQuota, Text: "Enough."}}})
	if err := create(); instance.KindOf(err) != instance.KindQuota || count() != 0 {
		t.Errorf("the first = %v, %d made", err, count())
	}
	if err := create(); err != nil || count() != 1 {
		t.Errorf("the second = %v, %d made", err, count())
	}
	knobs(t, dir, mock.Knobs{Failures: map[string]mock.Failure{"create": {Count: 2, Late: true}}})
	if err := create(); instance.KindOf(err) != instance.KindUnknown || count() != 2 {
		t.Errorf("a lost answer = %v, %d made", err, count())
	}
}

func TestKnobs_thatCannotBeReadAreSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir)
	for _, text := range []string{"{", `{"prices": {"SIM-L4-1-24G": "cheap"}}`} {
		if err := os.WriteFile(filepath.Join(dir, "mock.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Offers(t.Context()); err == nil || !strings.Contains(err.Error(), "mock.json") {
			t.Errorf("%s: Offers = %v", text, err)
		}
	}
}
