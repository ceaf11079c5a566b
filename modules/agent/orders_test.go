package agent_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// TestAgentProcess is an agent in a process of its own: this test's binary,
// started with its configuration in TEST_AGENT.
func TestAgentProcess(t *testing.T) {
	t.Parallel()
	text := os.Getenv("TEST_AGENT")
	if text == "" {
		return // only when started to be killed
	}
	var cfg agent.Config
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	t.Fatal(agent.Run(t.Context(), cfg, slog.New(slog.DiscardHandler)))
}

// spawn starts the agent as a process; kill ends it as a power cut does.
func (b *bundle) spawn() (kill func()) {
	b.t.Helper()
	cfg, err := json.Marshal(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.CommandContext(b.t.Context(), os.Args[0], "-test.run=^TestAgentProcess$")
	cmd.Env = append(os.Environ(), "TEST_AGENT="+string(cfg))
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	kill = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	b.t.Cleanup(kill)
	return kill
}

// locally returns what the agent's own page answers, or 0 when nobody does.
func (b *bundle) locally(path string) int {
	b.t.Helper()
	address, err := os.ReadFile(filepath.Join(b.cfg.StateDir, "listen"))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.Get("http://" + strings.TrimSpace(string(address)) + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode
}

// A machine that starts again while nobody answers it serves what it was last
// told to, and nothing once it was told to stop.
func TestRun_servesAgainWhileTheControlPlaneIsAway(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	orders := filepath.Join(b.cfg.StateDir, "orders.json")
	kill := b.spawn()
	b.plane.Until(t, "ready", ready)
	kill()
	if info, err := os.Stat(orders); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the orders: %v, %v; want a file for its owner only", info, err)
	}
	b.plane.Refuse(&wire.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "Away."})
	_, done := b.start()
	for deadline := time.Now().Add(10 * time.Second); b.locally("/readyz") != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatalf("the engine does not come back by itself: %s", b.log)
		}
		<-time.After(10 * time.Millisecond)
	}
	b.plane.Refuse(nil)
	b.plane.Until(t, "ready, as it was all along", ready)
	b.linked(2)

	b.plane.Order(wire.HeartbeatResponse{Desired: wire.Stop, HeartbeatSeconds: 1, Engine: simulator})
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil when told to stop", err)
	}
	if _, err := os.Stat(orders); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a node that was told to stop still has orders: %v", err)
	}
}

// What is kept for another instance, or is not whole, starts nothing.
func TestRun_followsNoOrdersButItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	end, _ := b.start()
	b.plane.Until(t, "ready", ready)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	orders := filepath.Join(b.cfg.StateDir, "orders.json")
	whole, err := os.ReadFile(orders)
	if err != nil {
		t.Fatal(err)
	}
	b.plane.Refuse(&wire.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "Away."})
	for name, text := range map[string]string{
		"another's": strings.Replace(string(whole), b.cfg.Instance.String(), "018f0000-0000-7000-8000-0000000000aa", 1),
		"half":      string(whole[:len(whole)/2]),
	} {
		if err := os.WriteFile(orders, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		seen := strings.Count(b.log.String(), "did not take a heartbeat")
		end, _ := b.start()
		for deadline := time.Now().Add(10 * time.Second); strings.Count(b.log.String(), "did not take a heartbeat") == seen; {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no heartbeat was tried", name)
			}
			<-time.After(5 * time.Millisecond)
		}
		if status := b.locally("/readyz"); status != http.StatusServiceUnavailable {
			t.Errorf("%s: /readyz = %d, want a node without an engine", name, status)
		}
		if err := end(); err != nil {
			t.Errorf("%s: Run = %v", name, err)
		}
	}
	if text := b.log.String(); !strings.Contains(text, "orders_unreadable") {
		t.Error("orders that cannot be read are not told of")
	}
}
