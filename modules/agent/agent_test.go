package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/agenttest"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var simulator = wire.EngineSpec{Kind: wire.EngineSim, Model: "inventiv/simulated-chat"}

// buffer is a log that a test can read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

type bundle struct {
	t     *testing.T
	plane *agenttest.Plane
	cfg   agent.Config
	log   *buffer
}

func setup(t *testing.T, spec wire.EngineSpec) *bundle {
	t.Helper()
	dir := t.TempDir()
	p := agenttest.NewPlane(t, spec)
	ca, token := p.Files(t, dir)
	return &bundle{t: t, plane: p, log: &buffer{}, cfg: agent.Config{
		StateDir: filepath.Join(dir, "state"), Instance: uuid.New(), Endpoints: []string{p.Address},
		CAFile: ca, TokenFile: token, Listen: "127.0.0.1:0", Version: "1.2.3", Environ: os.Environ(), Grace: 5 * time.Second,
	}}
}

// start runs the agent; end stops it, as SIGTERM does, and returns what Run
// returned; done receives that when it ends by itself.
func (b *bundle) start() (end func() error, done <-chan error) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	ended, told := make(chan error, 1), make(chan error, 1)
	go func() {
		err := agent.Run(ctx, b.cfg, slog.New(slog.NewJSONHandler(b.log, nil)))
		ended <- err
		told <- err
	}()
	end = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	b.t.Cleanup(func() { _ = end() })
	return end, told
}

func ready(h wire.Heartbeat) bool { return h.Engine.State == wire.EngineReady }

// linked waits until the hub has n links to the node.
func (b *bundle) linked(n int) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); b.plane.Hub.Connected(b.cfg.Instance) != n; {
		if time.Now().After(deadline) {
			b.t.Fatalf("the hub has %d links, want %d", b.plane.Hub.Connected(b.cfg.Instance), n)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (b *bundle) ask(ctx context.Context, method, path, body string) (*http.Response, error) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://node"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.plane.Hub.Transport(b.cfg.Instance).RoundTrip(r)
}

func (b *bundle) get(path string) (int, string) {
	b.t.Helper()
	resp, err := b.ask(b.t.Context(), http.MethodGet, path, "")
	if err != nil {
		b.t.Fatalf("GET %s through the tunnel: %v", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestRun_joinsServesAndStops(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	end, _ := b.start()
	h := b.plane.Until(t, "ready", ready)
	own, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(own)
	if h.InstanceID != b.cfg.Instance || h.AgentVersion != "1.2.3" || h.AgentChecksum != hex.EncodeToString(sum[:]) {
		t.Errorf("heartbeat of %s %s %s", h.InstanceID, h.AgentVersion, h.AgentChecksum)
	}
	if h.Engine.Fingerprint != simulator.Fingerprint() || h.Engine.Model != simulator.Model || h.Host.MemoryTotal == nil {
		t.Errorf("heartbeat %+v", h)
	}
	b.linked(2)

	resp, err := b.ask(t.Context(), http.MethodPost, "/v1/chat/completions",
		`{"model":"inventiv/simulated-chat","stream":true,"messages":[{"role":"user","content":"hello"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.HasSuffix(string(text), "data: [DONE]\n\n") || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("a streamed answer ends in %.100q, %v", text[max(0, len(text)-100):], err)
	}

	if status, body := b.get("/readyz"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("/readyz = %d %q", status, body)
	}
	local, err := os.ReadFile(filepath.Join(b.cfg.StateDir, "listen"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := http.Get("http://" + strings.TrimSpace(string(local)) + "/info")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	var info struct {
		Links   int       `json:"links"`
		Version string    `json:"agent_version"`
		Until   time.Time `json:"certificate_until"`
	}
	if err := json.NewDecoder(page.Body).Decode(&info); err != nil || info.Links != 2 || info.Version != "1.2.3" || info.Until.Before(time.Now()) {
		t.Errorf("/info = %+v, %v", info, err)
	}
	http.DefaultClient.CloseIdleConnections()

	if _, body := b.get("/metrics"); !strings.Contains(body, "inventiv_agent_engine_ready 1") || strings.Contains(body, "gpu") {
		t.Errorf("/metrics = %s", body)
	}
	if err := end(); err != nil {
		t.Errorf("Run = %v, want nil after a stop", err)
	}
	b.linked(0)
	last := b.plane.Until(t, "stopped", func(h wire.Heartbeat) bool { return h.Engine.State == wire.EngineStopped })
	if last.Gauges != nil {
		t.Error("a stopped engine has gauges")
	}
}

func TestRun_keepsItsIdentityAndNotItsToken(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	end, _ := b.start()
	b.plane.Until(t, "ready", ready)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.cfg.TokenFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the used token is still there: %v", err)
	}
	for _, name := range []string{"key.pem", "certificate.pem"} {
		if info, err := os.Stat(filepath.Join(b.cfg.StateDir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	end, _ = b.start() // without a token
	b.plane.Until(t, "ready again", ready)
	b.linked(2)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if n := len(b.plane.Registered()); n != 1 {
		t.Errorf("joined %d times, want once", n)
	}
	files, err := filepath.Glob(filepath.Join(b.cfg.StateDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, "") {
		text := b.log.String()
		if name != "" {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text = string(raw)
		}
		if strings.Contains(text, string(b.plane.Token)) {
			t.Errorf("the join token shows in the log or in %q", name)
		}
	}
}

func TestRun_asksAgainUntilTheControlPlaneIsThere(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	b.plane.Refuse(&wire.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "The database is away."})
	b.cfg.Endpoints = []string{"127.0.0.1:1", b.plane.Address} // the first one never answers
	b.start()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(b.log.String(), "could not join"); {
		if time.Now().After(deadline) {
			t.Fatal("a failed join is not told")
		}
		<-time.After(5 * time.Millisecond)
	}
	b.plane.Refuse(nil)
	b.plane.Until(t, "ready", ready)
}

func TestRun_B33_givesUpWhenRefused(t *testing.T) {
	t.Parallel()
	for _, code := range []string{wire.CodeBootstrapUsed, wire.CodeBootstrapInvalid, wire.CodeUpgradeAgent} {
		b := setup(t, simulator)
		b.plane.Refuse(&wire.Problem{Status: http.StatusUnauthorized, Code: code, Detail: "No.", Fix: "Do this."})
		_, done := b.start()
		err := <-done
		if f := fault.As(err); f == nil || f.Code != fault.Signin || f.Kind != code || f.Fix != "Do this." {
			t.Errorf("%s: Run = %v", code, err)
		}
	}
}

// registered waits until the node has had so many certificates.
func (b *bundle) registered(n int) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(b.plane.Registered()) < n; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%d certificates in 30 s, want %d", len(b.plane.Registered()), n)
		}
	}
}

func TestRun_renewsAShortCertificate(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	b.plane.CertificateLife(5 * time.Second) // a third of it is left for a renewal
	b.start()
	b.plane.Until(t, "ready", ready)
	b.registered(3)
	for i, req := range b.plane.Registered() {
		if (i == 0) != (req.Token != "") {
			t.Errorf("request %d has token %q", i, req.Token)
		}
	}
	b.plane.Until(t, "still ready", ready)
}

func TestRun_F22_endsWithItsCertificate(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	b.plane.CertificateLife(2 * time.Second) // on a slow machine over before the engine is ready
	_, done := b.start()
	b.registered(1)
	b.plane.Refuse(&wire.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "Away."})
	err := <-done
	if f := fault.As(err); f == nil || f.Kind != "certificate_expired" || f.Fix == "" {
		t.Errorf("Run = %v, want a fault that says what to do", err)
	}
	_, done = b.start() // nothing to join with any more
	if f := fault.As(<-done); f == nil || f.Code != fault.Signin {
		t.Errorf("a start without identity and token = %v", f)
	}
}

func TestRun_obeys(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	_, done := b.start()
	b.plane.Until(t, "ready", ready)
	b.linked(2)
	b.plane.Order(wire.HeartbeatResponse{Desired: wire.Drain, HeartbeatSeconds: 1, Engine: simulator})
	for deadline := time.Now().Add(10 * time.Second); ; {
		status, body := b.get("/readyz")
		if status == http.StatusServiceUnavailable && body == "draining\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz of a draining node = %d %q", status, body)
		}
	}
	if status, _ := b.get("/v1/models"); status != http.StatusOK {
		t.Errorf("a draining node answers %d", status)
	}
	other := simulator
	other.Model = "another"
	b.plane.Order(wire.HeartbeatResponse{Desired: wire.Run, HeartbeatSeconds: 1, Engine: other})
	b.plane.Until(t, "another engine", func(h wire.Heartbeat) bool { return ready(h) && h.Engine.Model == "another" })

	b.plane.Order(wire.HeartbeatResponse{Desired: wire.Stop, HeartbeatSeconds: 1, Engine: other})
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run = %v, want nil when told to stop", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the agent did not stop")
	}
}

func TestRun_stopsWhenItsInstanceHasEnded(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	_, done := b.start()
	b.plane.Until(t, "ready", ready)
	b.plane.Refuse(&wire.Problem{Status: http.StatusForbidden, Code: wire.CodeInstanceGone, Detail: "The instance has ended."})
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("the agent of an instance that has ended goes on")
	}
}

func TestRun_refusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	b.start()
	b.plane.Until(t, "ready", ready)
	for name, tc := range map[string]struct {
		change func(*agent.Config)
		code   fault.Code
	}{
		"second agent":    {func(*agent.Config) {}, fault.Conflict},
		"no instance":     {func(c *agent.Config) { c.Instance = uuid.Nil }, fault.Invalid},
		"no endpoint":     {func(c *agent.Config) { c.Endpoints = nil }, fault.Invalid},
		"bad endpoint":    {func(c *agent.Config) { c.Endpoints = []string{"plane"} }, fault.Invalid},
		"open to others":  {func(c *agent.Config) { c.Listen = "0.0.0.0:0" }, fault.Invalid},
		"missing CA":      {func(c *agent.Config) { c.StateDir, c.CAFile = t.TempDir(), "/nonexistent" }, fault.Invalid},
		"CA of something": {func(c *agent.Config) { c.StateDir, c.CAFile = t.TempDir(), os.Args[0] }, fault.Invalid},
		"no token":        {func(c *agent.Config) { c.StateDir, c.TokenFile = t.TempDir(), "/nonexistent" }, fault.Signin},
	} {
		cfg := b.cfg
		tc.change(&cfg)
		if err := agent.Run(t.Context(), cfg, slog.New(slog.DiscardHandler)); !fault.Is(err, tc.code) {
			t.Errorf("%s: Run = %v, want %s", name, err, tc.code)
		}
	}
}
