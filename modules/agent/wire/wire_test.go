package wire_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

func TestCheckProtocol_B35_takesOldestToProtocol(t *testing.T) {
	t.Parallel()
	for version := -1; version <= wire.Protocol+2; version++ {
		want := version >= wire.Oldest && version <= wire.Protocol
		err := wire.CheckProtocol(version)
		if (err == nil) != want {
			t.Errorf("CheckProtocol(%d) = %v, want ok %t", version, err, want)
		}
		if err != nil && !errors.Is(err, wire.ErrProtocol) {
			t.Errorf("CheckProtocol(%d) = %v, does not wrap ErrProtocol", version, err)
		}
	}
}

func TestSecret_doesNotPrint(t *testing.T) {
	t.Parallel()
	req := wire.RegisterRequest{Token: "join-me"}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", req.Token)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", req, req, req, req.Token, req.Token), log.String(),
	} {
		if strings.Contains(text, "join-me") {
			t.Errorf("the token shows in %s", text)
		}
	}
	raw, err := json.Marshal(req)
	if err != nil || !strings.Contains(string(raw), "join-me") {
		t.Errorf("the token must travel: %s, %v", raw, err)
	}
}

func report(now time.Time) wire.Heartbeat {
	return wire.Heartbeat{
		Protocol: wire.Protocol, InstanceID: uuid.New(), BootID: uuid.New(), Time: now,
		Engine: wire.EngineStatus{State: wire.EngineReady, Since: now.Add(-time.Minute)},
	}
}

func TestHeartbeat_B34_refusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		change func(*wire.Heartbeat)
		field  string
	}{
		"no instance":           {func(h *wire.Heartbeat) { h.InstanceID = uuid.Nil }, "instance_id"},
		"negative uptime":       {func(h *wire.Heartbeat) { h.UptimeSeconds = -1 }, "uptime_seconds"},
		"unknown state":         {func(h *wire.Heartbeat) { h.Engine.State = "fine" }, "engine.state"},
		"negative restarts":     {func(h *wire.Heartbeat) { h.Engine.Restarts = -1 }, "engine.restarts"},
		"negative tokens":       {func(h *wire.Heartbeat) { h.Gauges = &wire.EngineGauges{PromptTokens: new(int64(-1))} }, "gauges.prompt_tokens"},
		"1e15 tokens":           {func(h *wire.Heartbeat) { h.Gauges = &wire.EngineGauges{GenerationTokens: new(int64(1e15))} }, "gauges.generation_tokens"},
		"negative queue":        {func(h *wire.Heartbeat) { h.Gauges = &wire.EngineGauges{Waiting: new(int64(-3))} }, "gauges.waiting"},
		"negative GPU index":    {func(h *wire.Heartbeat) { h.GPUs = []wire.GPU{{Index: -1}} }, "gpus[0].index"},
		"same GPU twice":        {func(h *wire.Heartbeat) { h.GPUs = []wire.GPU{{Index: 2}, {Index: 2}} }, "gpus[1].index"},
		"negative GPU memory":   {func(h *wire.Heartbeat) { h.GPUs = []wire.GPU{{MemoryTotal: new(int64(-1))}} }, "gpus[0].memory"},
		"too many GPUs":         {func(h *wire.Heartbeat) { h.GPUs = make([]wire.GPU, 65) }, "gpus"},
		"negative disk":         {func(h *wire.Heartbeat) { h.Host.DiskUsed = new(int64(-1)) }, "host.disk"},
		"network beyond belief": {func(h *wire.Heartbeat) { h.Host.NetSent = new(int64(1 << 62)) }, "host.net"},
	} {
		h := report(now)
		tc.change(&h)
		invalid, ok := errors.AsType[*wire.Invalid](h.Validate(now))
		if !ok || invalid.Field != tc.field {
			t.Errorf("%s: Validate names %v, want %s", name, invalid, tc.field)
		}
	}
	h := report(now)
	h.Protocol = 99
	if err := h.Validate(now); !errors.Is(err, wire.ErrProtocol) {
		t.Errorf("Validate of protocol 99 = %v, want ErrProtocol", err)
	}
}

func TestHeartbeat_B34_mendsWhatCanBeMended(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	h := report(now)
	h.Time = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	h.Engine.Since = h.Time
	h.Engine.LastError = "CUDA \xff\x00error\x1b[31m " + strings.Repeat("é", 40_000)
	h.Engine.Reason = "two\nlines"
	h.Host.CPU = new(250.0)
	h.Host.MemoryUsed, h.Host.MemoryTotal = new(int64(20)), new(int64(10))
	h.GPUs = []wire.GPU{{Utilisation: new(-4.0), Temperature: new(900.0), Power: new(-1.0)}}
	h.Gauges = &wire.EngineGauges{KVCacheUse: new(1.5)}
	if err := h.Validate(now); err != nil {
		t.Fatalf("Validate = %v", err)
	}
	if h.Skew < 24*time.Hour || !h.Time.Equal(now) || !h.Engine.Since.Equal(now) {
		t.Errorf("skew %s, time %s, since %s; want the skew told and our clock taken", h.Skew, h.Time, h.Engine.Since)
	}
	if n := len(h.Engine.LastError); n > 4096 || n < 4000 || !utf8.ValidString(h.Engine.LastError) ||
		strings.ContainsAny(h.Engine.LastError, "\x00\x1b") || !strings.HasSuffix(h.Engine.LastError, "é…") {
		t.Errorf("last error has %d bytes and ends in %q", n, h.Engine.LastError[max(0, n-9):])
	}
	if h.Engine.Reason != "two\nlines" {
		t.Errorf("reason = %q", h.Engine.Reason)
	}
	g := h.GPUs[0]
	if *h.Host.CPU != 100 || *h.Host.MemoryUsed != 10 || *g.Utilisation != 0 || *g.Temperature != 150 ||
		*g.Power != 0 || *h.Gauges.KVCacheUse != 1 {
		t.Errorf("not clamped: cpu %v memory %v gpu %v %v %v cache %v", *h.Host.CPU, *h.Host.MemoryUsed,
			*g.Utilisation, *g.Temperature, *g.Power, *h.Gauges.KVCacheUse)
	}
	if h.Host.Load1 != nil || g.MemoryUsed != nil {
		t.Error("an absent figure was invented")
	}
}

// What a node dates by a clock that is off is set right with it: an engine that
// has just started again has not been down for hours.
func TestHeartbeat_F36_aClockThatIsOffDatesNothing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, off := range []time.Duration{-2 * time.Hour, 2 * time.Hour, 20 * time.Second} {
		h := report(now.Add(off))
		h.Engine.Since = h.Time.Add(-time.Minute)
		if err := h.Validate(now); err != nil {
			t.Fatal(err)
		}
		if age := now.Sub(h.Engine.Since); age < 30*time.Second || age > 90*time.Second {
			t.Errorf("a clock that is off by %s: in this state for %s, want a minute", off, age)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("plain", 10)
	f.Add("\xff\xfe€€€", 4)
	f.Add(strings.Repeat("é", 9), 8)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 3 || limit > 1<<16 {
			return
		}
		got := wire.Clean(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsRune(got, 0) {
			t.Errorf("Clean(%q, %d) = %q", s, limit, got)
		}
		if again := wire.Clean(got, limit); again != got {
			t.Errorf("Clean is not stable: %q then %q", got, again)
		}
	})
}

func TestEngineSpec_validate(t *testing.T) {
	t.Parallel()
	exec := func(args ...string) wire.EngineSpec {
		return wire.EngineSpec{Kind: wire.EngineExec, Model: "m", Command: args}
	}
	withEnv := exec("server")
	withEnv.Env = map[string]string{"PORT": wire.PortMark}
	badEnv := exec("server", "{port}")
	badEnv.Env = map[string]string{"A=B": "x"}
	for name, tc := range map[string]struct {
		spec  wire.EngineSpec
		field string
	}{
		"sim":              {wire.EngineSpec{Kind: wire.EngineSim, Model: "m"}, ""},
		"exec":             {exec("server", "--port={port}"), ""},
		"port in env":      {withEnv, ""},
		"no model":         {wire.EngineSpec{Kind: wire.EngineSim}, "engine.model"},
		"newline in model": {wire.EngineSpec{Kind: wire.EngineSim, Model: "a\nb"}, "engine.model"},
		"unknown kind":     {wire.EngineSpec{Kind: "shell", Model: "m"}, "engine.kind"},
		"no command":       {exec(), "engine.command"},
		"no port":          {exec("server"), "engine.command"},
		"zero byte":        {exec("server", "{port}", "a\x00b"), "engine.command"},
		"bad variable":     {badEnv, "engine.env"},
		"slow to refuse":   {wire.EngineSpec{Kind: wire.EngineSim, Model: "m", StartSeconds: -1}, "engine.start_seconds"},
		"unknown fault": {wire.EngineSpec{Kind: wire.EngineSim, Model: "m",
			Sim: wire.SimSpec{Faults: []wire.SimFault{{Kind: "explode"}}}}, "engine.sim.faults"},
		"negative speed": {wire.EngineSpec{Kind: wire.EngineSim, Model: "m",
			Sim: wire.SimSpec{TokensPerSecond: -1}}, "engine.sim.tokens_per_second"},
	} {
		err := tc.spec.Validate()
		invalid, _ := errors.AsType[*wire.Invalid](err)
		if (tc.field == "") != (err == nil) || (invalid != nil && invalid.Field != tc.field) {
			t.Errorf("%s: Validate = %v, want field %q", name, err, tc.field)
		}
	}
}

func TestFingerprint_survivesTheWireAndTellsSpecsApart(t *testing.T) {
	t.Parallel()
	spec := wire.EngineSpec{
		Kind: wire.EngineExec, Model: "m", Command: []string{"server", "{port}"},
		Env: map[string]string{"B": "2", "A": "s3cret"},
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var back wire.EngineSpec
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if spec.Fingerprint() == "" || back.Fingerprint() != spec.Fingerprint() {
		t.Errorf("fingerprints %q and %q differ", spec.Fingerprint(), back.Fingerprint())
	}
	back.Env["A"] = "other"
	if back.Fingerprint() == spec.Fingerprint() {
		t.Error("a changed variable keeps the fingerprint")
	}
	if text := spec.LogValue().String(); strings.Contains(text, "s3cret") {
		t.Errorf("the log shows a variable: %s", text)
	}
}

func TestCSR_carriesTheInstance(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := wire.NewCSR(ed, id)
	if err != nil {
		t.Fatal(err)
	}
	csr, got, err := wire.ParseCSR(text)
	if err != nil || got != id {
		t.Fatalf("ParseCSR = %v, %v; want %v", got, err, id)
	}
	got, err = wire.InstanceOf(&x509.Certificate{URIs: csr.URIs})
	if err != nil || got != id {
		t.Errorf("InstanceOf = %v, %v; want %v", got, err, id)
	}
}

func TestParseCSR_B33_refusesOtherNamesAndKeys(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	p256, p384 := key(t, elliptic.P256()), key(t, elliptic.P384())
	other := func(raw string) *url.URL {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	request := func(k *ecdsa.PrivateKey, tpl x509.CertificateRequest) string {
		der, err := x509.CreateCertificateRequest(rand.Reader, &tpl, k)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	}
	mine := []*url.URL{wire.InstanceURI(id)}
	good := request(p256, x509.CertificateRequest{URIs: mine})
	if _, _, err := wire.ParseCSR(good); err != nil {
		t.Fatalf("a good request is refused: %v", err)
	}
	for name, text := range map[string]string{
		"not PEM":        "hello",
		"trailing data":  good + "more",
		"P-384":          request(p384, x509.CertificateRequest{URIs: mine}),
		"no name":        request(p256, x509.CertificateRequest{}),
		"two names":      request(p256, x509.CertificateRequest{URIs: append(mine, wire.InstanceURI(uuid.New()))}),
		"a DNS name too": request(p256, x509.CertificateRequest{URIs: mine, DNSNames: []string{"inventiv"}}),
		"other scheme":   request(p256, x509.CertificateRequest{URIs: []*url.URL{other("spiffe://instance/" + id.String())}}),
		"other host":     request(p256, x509.CertificateRequest{URIs: []*url.URL{other("inventiv://platform/" + id.String())}}),
		"query":          request(p256, x509.CertificateRequest{URIs: []*url.URL{other("inventiv://instance/" + id.String() + "?a=b")}}),
		"upper case":     request(p256, x509.CertificateRequest{URIs: []*url.URL{other("inventiv://instance/" + strings.ToUpper("ab"+id.String()[2:]))}}),
		"nil uuid":       request(p256, x509.CertificateRequest{URIs: []*url.URL{wire.InstanceURI(uuid.Nil)}}),
		"no path":        request(p256, x509.CertificateRequest{URIs: []*url.URL{other("inventiv://instance")}}),
	} {
		if _, _, err := wire.ParseCSR(text); !errors.Is(err, wire.ErrIdentity) {
			t.Errorf("%s: ParseCSR = %v, want ErrIdentity", name, err)
		}
	}
}

func key(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRegisterRequest_validate(t *testing.T) {
	t.Parallel()
	good := wire.RegisterRequest{Protocol: wire.Protocol, InstanceID: uuid.New(), CSR: "x"}
	if err := good.Validate(); err != nil {
		t.Fatalf("Validate = %v", err)
	}
	long := good
	long.Token = wire.Secret(strings.Repeat("t", 10_000))
	var invalid *wire.Invalid
	if err := long.Validate(); !errors.As(err, &invalid) || invalid.Field != "token" {
		t.Errorf("Validate of a 10 kB token = %v", err)
	}
}
