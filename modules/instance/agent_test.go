package instance_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// caller is somebody at the agents' listener.
type caller struct {
	w   *world
	key *ecdsa.PrivateKey
	tls *tls.Config
}

func (w *world) caller(t *testing.T) *caller {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.CAPEM())
	return &caller{w, key, &tls.Config{RootCAs: roots, ServerName: wire.ServerName}}
}

// post returns the answer, or the *wire.Problem it was refused with.
func (c *caller) post(t *testing.T, path string, body, into any) error {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig: c.tls, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", c.w.endpoint)
		},
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://inventiv"+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return wire.ReadProblem(resp)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func (c *caller) join(t *testing.T, id uuid.UUID, token wire.Secret) error {
	t.Helper()
	csr, err := wire.NewCSR(c.key, id)
	if err != nil {
		t.Fatal(err)
	}
	var answer wire.RegisterResponse
	err = c.post(t, wire.RegisterPath, wire.RegisterRequest{
		Protocol: wire.Protocol, InstanceID: id, Token: token, CSR: csr, BootID: uuid.New(),
	}, &answer)
	if err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(answer.Certificate))
	c.tls = c.tls.Clone()
	c.tls.Certificates = []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: c.key}}
	return nil
}

func (c *caller) beat(t *testing.T, id uuid.UUID, edit func(*wire.Heartbeat)) error {
	t.Helper()
	h := wire.Heartbeat{
		Protocol: wire.Protocol, InstanceID: id, Time: time.Now(), Engine: wire.EngineStatus{State: wire.EngineReady, Since: time.Now()},
	}
	if edit != nil {
		edit(&h)
	}
	return c.post(t, wire.HeartbeatPath, h, &wire.HeartbeatResponse{})
}

func refused(t *testing.T, what string, err error, status int, code string) {
	t.Helper()
	p, ok := errors.AsType[*wire.Problem](err)
	if !ok || p.Status != status || p.Code != code || !strings.HasSuffix(p.Detail, ".") {
		t.Errorf("%s: %v; want %d %s", what, err, status, code)
	}
}

// joining makes an instance that waits for an agent, and returns its token.
func (w *world) joining(t *testing.T, name string) (uuid.UUID, wire.Secret) {
	t.Helper()
	w.deploy(t, name, 1, 1)
	if _, err := w.ScalePass(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := w.Instances(t.Context(), w.org, instance.Filter{Deployment: name})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d instances, %v", len(all), err)
	}
	id := all[0].ID
	token := w.JoinToken(id, 1)
	sql(t, w.pool, `UPDATE instance.instances SET state = 'installing', step = 'agent_installed', due_at = now() + interval '1 hour' WHERE id = $1`, id)
	sql(t, w.pool, `INSERT INTO instance.nodes (instance_id, join_token_hash, join_expires_at) VALUES ($1, sha256($2::bytea), now() + interval '30 minutes')`,
		id, []byte(token))
	return id, token
}

func TestJoin_B33_theTokenAdmitsOneKeyOfOneInstance(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, token := w.joining(t, "a")
	other, otherToken := w.joining(t, "b")
	ours, thief := w.caller(t), w.caller(t)

	refused(t, "a made-up token", thief.join(t, id, "made up"), 401, wire.CodeBootstrapInvalid)
	refused(t, "another instance's token", thief.join(t, id, otherToken), 401, wire.CodeBootstrapInvalid)
	refused(t, "no token", thief.join(t, id, ""), 401, wire.CodeBootstrapInvalid)
	refused(t, "an unknown instance", thief.join(t, uuid.New(), token), 401, wire.CodeBootstrapInvalid)
	if err := ours.join(t, id, token); err != nil {
		t.Fatalf("join = %v", err)
	}
	if err := w.caller2(ours).join(t, id, token); err != nil {
		t.Errorf("the answer was lost, so it joins again: %v", err)
	}
	refused(t, "the token with another key", thief.join(t, id, token), 401, wire.CodeBootstrapUsed)
	i, err := w.Instance(t.Context(), w.org, id.String())
	if err != nil || i.Flag != instance.ReasonBootstrapReused || i.Eligibility != instance.Cordoned {
		t.Errorf("after the second use: flag %q, %s, %v", i.Flag, i.Eligibility, err)
	}
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM auth.audit WHERE action = 'instance.bootstrap_reused'`); n != 1 {
		t.Errorf("%d audit rows", n)
	}

	// The certificate is its instance's alone.
	refused(t, "a report about another", ours.beat(t, other, nil), 403, wire.CodeWrongInstance)
	csr, err := wire.NewCSR(ours.key, other)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "a renewal for another", ours.post(t, wire.RegisterPath, wire.RegisterRequest{
		Protocol: wire.Protocol, InstanceID: other, CSR: csr,
	}, nil), 403, wire.CodeWrongInstance)
	refused(t, "a request that names another", ours.post(t, wire.RegisterPath, wire.RegisterRequest{
		Protocol: wire.Protocol, InstanceID: id, Token: token, CSR: csr,
	}, nil), 403, wire.CodeWrongInstance)

	// A terminated instance is refused at once, certificate or not.
	if err := ours.beat(t, id, nil); err != nil {
		t.Errorf("beat = %v", err)
	}
	sql(t, w.pool, `UPDATE instance.instances SET state = 'terminating' WHERE id = $1`, id)
	refused(t, "a report after the end", ours.beat(t, id, nil), 403, wire.CodeInstanceGone)
	refused(t, "a join after the end", w.caller2(ours).join(t, id, token), 403, wire.CodeInstanceGone)
	sql(t, w.pool, `UPDATE instance.nodes SET join_expires_at = now() WHERE instance_id = $1`, other)
	refused(t, "an expired token", thief.join(t, other, otherToken), 401, wire.CodeBootstrapInvalid)
}

// caller2 is the same key without the certificate.
func (w *world) caller2(c *caller) *caller {
	conf := c.tls.Clone()
	conf.Certificates = nil
	return &caller{w, c.key, conf}
}

func TestJoin_ofManyAtOnceOneIsAdmitted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, token := w.joining(t, "a")
	const n = 6
	callers := make([]*caller, n)
	for i := range callers {
		callers[i] = w.caller(t)
	}
	answers := make(chan error, n)
	for _, c := range callers {
		go func() { answers <- c.join(t, id, token) }()
	}
	admitted := 0
	for range n {
		if <-answers == nil {
			admitted++
		}
	}
	if admitted != 1 {
		t.Errorf("%d nodes were admitted with one token", admitted)
	}
}

func TestRenew_theOldCertificateWorksUntilTheNewOneIsSeen(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, token := w.joining(t, "a")
	c := w.caller(t)
	if err := c.join(t, id, token); err != nil {
		t.Fatal(err)
	}
	old := c.tls
	if err := c.join(t, id, ""); err != nil {
		t.Fatalf("renew = %v", err)
	}
	if c.tls.Certificates[0].Leaf == nil {
		leaf, err := x509.ParseCertificate(c.tls.Certificates[0].Certificate[0])
		if err != nil || leaf.NotAfter.Sub(leaf.NotBefore) > 25*time.Hour {
			t.Errorf("the certificate lives %s, %v", leaf.NotAfter.Sub(leaf.NotBefore), err)
		}
	}
	before := &caller{w, c.key, old}
	if err := before.beat(t, id, nil); err != nil {
		t.Errorf("the old certificate, before the new one was seen: %v", err)
	}
	if err := c.beat(t, id, nil); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
	refused(t, "the old certificate after that", before.beat(t, id, nil), 403, wire.CodeInstanceGone)
}

// A record that was restored from a dump knows less than the agents: theirs are
// good all the same. One that was voided is not.
func TestRenew_F40_aRestoredRecordTakesNewerCertificates(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, token := w.joining(t, "a")
	c := w.caller(t)
	if err := c.join(t, id, token); err != nil {
		t.Fatal(err)
	}
	const restored = `UPDATE instance.nodes SET certificate_serial = 'aa', previous_serial = '', certificate_until = $1`
	sql(t, w.pool, restored, time.Now().Add(10*time.Hour))
	if err := c.beat(t, id, nil); err != nil {
		t.Errorf("a report by a certificate that the dump does not know: %v", err)
	}
	if err := c.join(t, id, ""); err != nil {
		t.Errorf("its renewal: %v", err)
	}
	if err := c.beat(t, id, nil); err != nil {
		t.Errorf("a report by the renewed one: %v", err)
	}
	sql(t, w.pool, restored, time.Now().Add(24*time.Hour))
	refused(t, "a certificate that was replaced", c.beat(t, id, nil), 403, wire.CodeInstanceGone)
	sql(t, w.pool, restored, nil)
	refused(t, "a certificate from before the new installation", c.beat(t, id, nil), 403, wire.CodeInstanceGone)
}

// Whoever was identified before a new installation, and comes to write after
// it, writes nothing.
func TestReinstall_anAgentThatWasIdentifiedBeforeIsLate(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, token := w.joining(t, "a")
	c := w.caller(t)
	if err := c.join(t, id, token); err != nil {
		t.Fatal(err)
	}
	for what, call := range map[string]func() error{
		"report": func() error { return c.beat(t, id, nil) }, "renewal": func() error { return c.join(t, id, "") },
	} {
		tx, err := w.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.Exec(t.Context(), `UPDATE instance.nodes SET generation = generation + 1, certificate_serial = '', previous_serial = '', certificate_until = NULL`)
		if err != nil {
			t.Fatal(err)
		}
		before := scalar[string](t, w.pool, `SELECT certificate_serial FROM instance.nodes`)
		answer := make(chan error, 1)
		go func() { answer <- call() }()
		eventually(t, 10*time.Second, "the "+what+" waits for the installation", func() bool {
			return scalar[int](t, w.pool, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
		})
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		refused(t, "a late "+what, <-answer, 403, wire.CodeInstanceGone)
		if got := scalar[string](t, w.pool, `SELECT certificate_serial FROM instance.nodes`); got != "" {
			t.Errorf("a late %s left the certificate %s", what, got)
		}
		sql(t, w.pool, `UPDATE instance.nodes SET certificate_serial = $1`, before)
	}
}

func TestHeartbeat_B34_whatCannotBeTrueIsRefusedOrClamped(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, token := w.joining(t, "a")
	c := w.caller(t)
	refused(t, "without a certificate", c.beat(t, id, nil), 401, "certificate_missing")
	if err := c.join(t, id, token); err != nil {
		t.Fatal(err)
	}
	count := func(n int64) func(*wire.Heartbeat) {
		return func(h *wire.Heartbeat) { h.Gauges = &wire.EngineGauges{GenerationTokens: &n} }
	}
	refused(t, "negative tokens", c.beat(t, id, count(-1)), 422, wire.CodeInvalidReport)
	refused(t, "1e15 tokens", c.beat(t, id, count(1e15)), 422, wire.CodeInvalidReport)
	refused(t, "too long", c.beat(t, id, func(h *wire.Heartbeat) {
		h.Engine.LastError = strings.Repeat("x", wire.MaxBody)
	}), 413, "too_large")
	many := int64(3_000_000_000)
	err := c.beat(t, id, func(h *wire.Heartbeat) {
		h.Time = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
		h.Engine.LastError = "bad \xff\x00 text"
		h.Gauges = &wire.EngineGauges{Running: &many}
	})
	if err != nil {
		t.Fatalf("a clock that is off = %v", err)
	}
	i, err := w.Instance(t.Context(), w.org, id.String())
	if err != nil || i.Node == nil || i.Node.Heartbeat == nil || time.Until(i.Node.Heartbeat.Time) > time.Minute {
		t.Errorf("kept: %+v, %v", i.Node, err)
	}
	if _, _, err := w.Routes(t.Context()); err != nil {
		t.Errorf("Routes after a large gauge: %v", err)
	}
	var throttled bool
	for range 100 {
		if p, ok := errors.AsType[*wire.Problem](c.beat(t, id, nil)); ok && p.Status == http.StatusTooManyRequests {
			throttled = true
			break
		}
	}
	if !throttled {
		t.Error("a hundred reports in a row were taken")
	}
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM instance.samples`); n > 2 {
		t.Errorf("%d samples within seconds", n)
	}
}

func TestAgent_B35_otherProtocolsAreToldToUpgrade(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, token := w.joining(t, "a")
	c := w.caller(t)
	for _, version := range []int{0, wire.Protocol + 1, wire.Oldest - 1} {
		refused(t, "registration", c.post(t, wire.RegisterPath, wire.RegisterRequest{
			Protocol: version, InstanceID: id, Token: token, CSR: "x",
		}, nil), 426, wire.CodeUpgradeAgent)
	}
	if err := c.join(t, id, token); err != nil {
		t.Fatal(err)
	}
	refused(t, "heartbeat", c.beat(t, id, func(h *wire.Heartbeat) { h.Protocol = wire.Protocol + 1 }), 426, wire.CodeUpgradeAgent)
}

func TestWatch_silenceWhileNobodyListenedDoesNotCount(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	id, token := w.joining(t, "a")
	if err := w.caller(t).join(t, id, token); err != nil {
		t.Fatal(err)
	}
	state := func() instance.Connectivity {
		i, err := w.Instance(ctx, w.org, id.String())
		if err != nil {
			t.Fatal(err)
		}
		return i.Connectivity
	}
	sql(t, w.pool, `UPDATE instance.nodes SET heartbeat_at = now() - interval '1 hour'`)
	for _, tc := range []struct {
		listening time.Duration
		want      instance.Connectivity
	}{{10 * time.Second, instance.Online}, {40 * time.Second, instance.Suspect}, {3 * time.Minute, instance.Lost}} {
		w.Listens(time.Now().Add(-tc.listening), time.Now())
		if _, err := w.WatchPass(ctx); err != nil {
			t.Fatal(err)
		}
		if got := state(); got != tc.want {
			t.Errorf("after an hour of silence, listening for %s: %s, want %s", tc.listening, got, tc.want)
		}
	}
}

// Agents cannot report while the database is away: when it comes back none has
// been silent.
func TestWatch_F25_theDatabasesAbsenceIsNobodysSilence(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	id, token := w.joining(t, "a")
	if err := w.caller(t).join(t, id, token); err != nil {
		t.Fatal(err)
	}
	sql(t, w.pool, `UPDATE instance.nodes SET heartbeat_at = now() - interval '20 minutes'`)
	w.Listens(time.Now().Add(-time.Hour), time.Now().Add(-20*time.Minute))
	for range 2 {
		if n, err := w.WatchPass(ctx); n != 0 || err != nil {
			t.Errorf("after 20 minutes without the database: %d nodes moved, %v", n, err)
		}
	}
	if i, err := w.Instance(ctx, w.org, id.String()); err != nil || i.Connectivity != instance.Online {
		t.Errorf("it is %s, %v", i.Connectivity, err)
	}
}

func TestRoutes_tellWhatEnginesReport(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, token := w.joining(t, "a")
	c := w.caller(t)
	if err := c.join(t, id, token); err != nil {
		t.Fatal(err)
	}
	running, waiting, generated, cache := int64(3), int64(2), int64(1234), 0.75
	err := c.beat(t, id, func(h *wire.Heartbeat) {
		h.Gauges = &wire.EngineGauges{Running: &running, Waiting: &waiting, KVCacheUse: &cache, GenerationTokens: &generated}
	})
	if err != nil {
		t.Fatal(err)
	}
	sql(t, w.pool, `UPDATE instance.instances SET state = 'ready', connectivity = 'online'`)
	routes, _, err := w.Routes(t.Context())
	if err != nil || len(routes) != 1 {
		t.Fatalf("Routes = %+v, %v", routes, err)
	}
	if r := routes[0]; r.ID != id || r.Kind != "chat" || r.Running != 3 || r.Waiting != 2 || r.Generated != 1234 || r.KVCache != 0.75 ||
		time.Since(r.ReportedAt) > time.Minute {
		t.Errorf("route = %+v", r)
	}
	sql(t, w.pool, `UPDATE instance.instances SET state = 'draining'`)
	if routes, _, err := w.Routes(t.Context()); err != nil || len(routes) != 0 {
		t.Errorf("draining: Routes = %+v, %v", routes, err)
	}
}
