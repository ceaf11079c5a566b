package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

const (
	goodKey  = "sk-inv-good"
	adminKey = "sk-inv-admin-only"
	model    = "some/model"
)

// bed is a gateway with all around it, and its HTTP server.
type bed struct {
	*Service

	organisation uuid.UUID
	keyID        uuid.UUID
	userID       uuid.UUID
	keys         *fakeKeys
	instances    *fakeInstances
	registry     *prometheus.Registry
	spoolDir     string
	url          string
}

// newBed starts a gateway on pool whose replicas of model are the upstreams. Its
// loops do not run: tests call the passes.
func newBed(t testing.TB, pool *pgxpool.Pool, upstreams ...string) *bed {
	t.Helper()
	b := &bed{
		organisation: uuid.Must(uuid.NewV7()), keyID: uuid.Must(uuid.NewV7()), userID: uuid.Must(uuid.NewV7()),
		registry: prometheus.NewRegistry(), spoolDir: t.TempDir(),
	}
	b.keys = &fakeKeys{principal: auth.Principal{Organisation: b.organisation, KeyID: b.keyID, UserID: b.userID, Scopes: auth.ScopeInference}}
	b.instances = &fakeInstances{organisation: b.organisation, urls: map[uuid.UUID]string{}}
	for _, u := range upstreams {
		b.instances.add(u)
	}
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b.Service, err = New(Config{
		Pool: pool, Keyring: ring, Keys: b.keys, Instances: b.instances, Prices: fakePrices{}, Models: fakeModels{},
		Accounts: &fakeAccounts{[]uuid.UUID{b.keyID}, []uuid.UUID{b.userID}},
		Events:   events.New(log), SpoolDir: b.spoolDir, MaxBody: 2 << 20, Log: log, Registerer: b.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.spool.Close() })
	if pool != nil {
		mustExec(t, pool, `INSERT INTO auth.organisations (id, name, slug) VALUES ($1, 'Test', $2)`, b.organisation, "o-"+b.organisation.String())
		if _, err := b.reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.readLimits(t)
	} else {
		b.admission.replace(nil)
	}
	server := httptest.NewServer(b.Service)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func mustExec(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// fakeKeys knows two keys, and can lose its database.
type fakeKeys struct {
	principal auth.Principal
	away      atomic.Bool
	tooOld    atomic.Bool // for five minutes by now
	revoked   atomic.Bool
	asked     atomic.Int64
}

func (k *fakeKeys) Revoked(string) bool { return k.revoked.Load() }

func (k *fakeKeys) Check(_ context.Context, token string) (auth.Principal, error) {
	k.asked.Add(1)
	p := k.principal
	switch {
	case k.tooOld.Load():
		return auth.Principal{}, fault.New(fault.Unavailable, "The database is away for more than five minutes.").WithKind("auth_unavailable")
	case token == goodKey:
		return p, nil
	case token == adminKey:
		p.Scopes = auth.ScopeAdmin
		return p, nil
	case !strings.HasPrefix(token, "sk-inv-"):
		return auth.Principal{}, fault.New(fault.Signin, "Malformed.").WithKind("malformed_api_key")
	case k.away.Load():
		return auth.Principal{}, fault.New(fault.Unavailable, "Away.").WithKind("auth_unavailable")
	case token == "sk-inv-suspended":
		return auth.Principal{}, fault.New(fault.Denied, "Suspended.").WithKind("key_disabled")
	}
	return auth.Principal{}, fault.New(fault.Signin, "Unknown.").WithFix("Make one.").WithKind("invalid_api_key")
}

// fakeInstances are replicas at URLs.
type fakeInstances struct {
	organisation uuid.UUID
	order        []uuid.UUID
	urls         map[uuid.UUID]string
	sleeping     []Sleeping
	gauges       balance.Gauges            // of all of them
	cut          atomic.Pointer[uuid.UUID] // the one without a tunnel
	opened       atomic.Int64              // attempts to reach that one
	waking       func() (bool, error)      // what a wish to wake does; nil: nothing
	woken        []auth.Actor              // who wished it
	used         [][]uuid.UUID             // what was told of use
}

func (f *fakeInstances) Wake(_ context.Context, actor auth.Actor, _ string) (bool, error) {
	f.woken = append(f.woken, actor)
	if f.waking == nil {
		return false, nil
	}
	return f.waking()
}

func (f *fakeInstances) Used(_ context.Context, replicas []uuid.UUID) error {
	f.used = append(f.used, replicas)
	return nil
}

func (f *fakeInstances) add(to string) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	f.order, f.urls[id] = append(f.order, id), to
	return id
}

func (f *fakeInstances) Routes(context.Context) ([]Replica, []Sleeping, error) {
	var list []Replica
	for _, id := range f.order {
		list = append(list, Replica{ID: id, Organisation: f.organisation, Model: model, Name: "replica", Gauges: f.gauges})
	}
	return list, f.sleeping, nil
}

func (f *fakeInstances) Open(id uuid.UUID) (upstream.Conn, error) {
	if cut := f.cut.Load(); cut != nil && *cut == id {
		f.opened.Add(1)
		return nil, errors.New("no tunnel")
	}
	u, err := url.Parse(f.urls[id])
	if err != nil {
		return nil, err
	}
	return upstream.TCP(&net.Dialer{}, u.Host, nil)(context.Background())
}

type fakePrices struct{}

func (fakePrices) PriceBook(context.Context) ([]Price, error) {
	return []Price{{ID: 7, Model: model, Input: money.Euro, Output: 2 * money.Euro}}, nil
}

type fakeModels struct{}

func (fakeModels) EnsureModel(context.Context, uuid.UUID, string) error { return nil }

func (fakeModels) Named(_ context.Context, _ uuid.UUID, ref string) (string, bool, error) {
	if ref == "no/such" || strings.HasPrefix(ref, "fast") {
		return "", false, fault.New(fault.NotFound, "There is no such model.")
	}
	return ref, strings.Contains(ref, "embed"), nil
}

// reply is an answer that is closed when the test ends.
type reply struct{ *http.Response }

// ask sends a body to a path with the good key.
func (b *bed) ask(t testing.TB, path, body string) reply {
	t.Helper()
	return b.send(t, b.request(t, path, body))
}

func (b *bed) request(t testing.TB, path, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+goodKey)
	req.Header.Set("Content-Type", "application/json")
	return req
}

func (b *bed) send(t testing.TB, req *http.Request) reply {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return reply{res}
}

// text reads a whole answer.
func text(t testing.TB, res reply) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read the answer: %v after %q", err, body)
	}
	return string(body)
}

// chatBody is a small chat request with more top-level fields.
func chatBody(more string) string {
	return `{"model":"` + model + `",` + more + `"messages":[{"role":"user","content":"hello"}]}`
}

// stored flushes the spool and returns the records, the oldest first.
func (b *bed) stored(t testing.TB) []Record {
	t.Helper()
	if _, err := b.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := b.Records(t.Context(), auth.System(b.organisation), RecordFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// eventually waits for a condition of another goroutine or process.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

// engine serves a handler and returns its URL.
func engine(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

const wholeAnswer = `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`

// answering is an upstream that gives one answer to everything.
func answering(t testing.TB, status int, contentType, body string) string {
	t.Helper()
	return engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestServe_forwardsAndMeters(t *testing.T) {
	t.Parallel()
	var got atomic.Pointer[http.Request]
	var sent bytes.Buffer
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r)
		_, _ = io.Copy(&sent, r.Body)
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Server", "vLLM")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, wholeAnswer)
	}))
	req := b.request(t, "/v1/chat/completions", chatBody(`"max_tokens": 5, `))
	req.Header.Set("Traceparent", "00-aa-bb-01")
	req.Header.Set("Tracestate", "vendor=1")
	req.Header.Set("Cookie", "secret=1")
	res := b.send(t, req)
	if body := text(t, res); res.StatusCode != http.StatusOK || body != wholeAnswer {
		t.Fatalf("got %d %s", res.StatusCode, body)
	}
	if res.Header.Get("Set-Cookie") != "" || res.Header.Get("Server") != "" {
		t.Errorf("headers of the upstream are passed on: %v", res.Header)
	}
	up := got.Load()
	if sent.String() != chatBody(`"max_tokens": 5, `) || up.Header.Get("Authorization") != "" || up.Header.Get("Cookie") != "" ||
		up.Header.Get("Traceparent") != "00-aa-bb-01" || up.Header.Get("Tracestate") != "vendor=1" || up.Header.Get("X-Request-Id") != res.Header.Get("X-Request-Id") {
		t.Errorf("upstream got %v %s", up.Header, sent.String())
	}
	records := b.stored(t)
	if len(records) != 1 {
		t.Fatalf("%d records, want 1", len(records))
	}
	r := records[0]
	if r.RequestID.String() != res.Header.Get("X-Request-Id") || r.Status != "completed" || r.HTTPStatus != 200 || r.PromptTokens != 9 ||
		r.CompletionTokens != 2 || r.UsageSource != "engine" || r.PriceID != 7 || r.KeyID != b.keyID || r.Model != model || r.Path != "/v1/chat/completions" {
		t.Errorf("record = %+v", r)
	}
	if want := (9*money.Euro + 2*2*money.Euro) / 1_000_000; r.Cost != want {
		t.Errorf("cost = %s, want %s", r.Cost, want)
	}
	eventually(t, 5*time.Second, "no bytes are held", func() bool { return b.held.Load() == 0 })
}

// alias gives a model another name.
func (b *bed) alias(t testing.TB, name, of string) {
	t.Helper()
	if _, err := b.AddAlias(t.Context(), auth.System(b.organisation), name, of); err != nil {
		t.Fatal(err)
	}
	if _, err := b.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// readLimits makes a pass of the limits.
func (b *bed) readLimits(t testing.TB) {
	t.Helper()
	if _, err := b.admission.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
}
