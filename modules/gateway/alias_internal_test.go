package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

func TestAlias_isOneOrganisationsAndTold(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	up := answering(t, 200, "application/json", wholeAnswer)
	b, other := newBed(t, pool, up), newBed(t, pool, up)
	b.alias(t, "fast", model)
	if _, err := other.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := strings.Replace(chatBody(""), model, "fast", 1)
	if res := b.ask(t, "/v1/chat/completions", body); res.StatusCode != http.StatusOK {
		t.Errorf("got %d %s", res.StatusCode, text(t, res))
	}
	if res := other.ask(t, "/v1/chat/completions", body); res.StatusCode != http.StatusNotFound || code(t, res) != "model_not_found" {
		t.Errorf("another organisation: %d", res.StatusCode)
	}
	get := func(path string) string {
		req := b.request(t, path, "")
		req.Method = http.MethodGet
		return text(t, b.send(t, req))
	}
	entry := `{"id":"fast","object":"model","created":0,"owned_by":"inventiv","state":"ready","alias_of":"some/model"}`
	if got := get("/v1/models"); !strings.Contains(got, entry) {
		t.Errorf("models: %s", got)
	}
	if got := get("/v1/models/fast"); got != entry {
		t.Errorf("the alias: %s", got)
	}
	if res := b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "nope", 1)); !strings.Contains(text(t, res), "some/model, fast") {
		t.Error("the refusal does not name the alias")
	}
	for _, r := range b.stored(t) {
		if r.Model != model || r.Asked != "fast" {
			t.Errorf("metered as %s, asked for as %s", r.Model, r.Asked)
		}
	}
	var audits int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM auth.audit WHERE action = 'alias.add' AND organisation_id = $1`, b.organisation).Scan(&audits); err != nil || audits != 1 {
		t.Errorf("%d audit rows, %v", audits, err)
	}
	if err := other.RemoveAlias(t.Context(), auth.System(other.organisation), "fast"); !fault.Is(err, fault.NotFound) {
		t.Errorf("another organisation removes it: %v", err)
	}
	if err := b.RemoveAlias(t.Context(), auth.System(b.organisation), "fast"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := b.ask(t, "/v1/chat/completions", body); res.StatusCode != http.StatusNotFound {
		t.Errorf("after removal: %d", res.StatusCode)
	}
}

func TestAlias_refusals(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	operator := auth.System(b.organisation)
	b.alias(t, "fast", model)
	for _, tt := range []struct {
		name, model string
		want        fault.Code
	}{
		{"", model, fault.Invalid}, {"a b", model, fault.Invalid}, {"a\x00", model, fault.Invalid}, {"a\u202e", model, fault.Invalid},
		{strings.Repeat("x", 201), model, fault.Invalid}, {"fast", model, fault.Conflict}, {"taken/by-a-model", model, fault.Conflict},
		{"fast2", "no/such", fault.NotFound},
	} {
		if _, err := b.AddAlias(t.Context(), operator, tt.name, tt.model); !fault.Is(err, tt.want) {
			t.Errorf("%q of %q: %v", tt.name, tt.model, err)
		}
	}
	nobody := auth.Actor{Organisation: b.organisation, UserID: uuid.New(), Role: auth.User}
	if _, err := b.AddAlias(t.Context(), nobody, "fast3", model); !fault.Is(err, fault.Denied) {
		t.Errorf("a user adds one: %v", err)
	}
	if err := b.RemoveAlias(t.Context(), nobody, "fast"); !fault.Is(err, fault.Denied) {
		t.Errorf("a user removes one: %v", err)
	}
}

// A model that sleeps is named by its alias, and where its fallback answers the
// client is told so.
func TestAlias_doesNotHideAFallback(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	b.instances.sleeping = []Sleeping{{Organisation: b.organisation, Model: "big/model", State: "starting"}}
	b.alias(t, "fast", "big/model")
	body := strings.Replace(chatBody(""), model, "fast", 1)
	if res := b.ask(t, "/v1/chat/completions", body); res.StatusCode != http.StatusServiceUnavailable || code(t, res) != "no_ready_replica" {
		t.Errorf("asleep: %d", res.StatusCode)
	}
	e := b.fallsBack(t, "big/model")
	if got := text(t, b.ask(t, "/v1/chat/completions", body)); !strings.Contains(got, `"model":"`+model+`"`) {
		t.Errorf("got %s", got)
	}
	if sent := *e.sent.Load(); !strings.Contains(sent, `"model":"`+model+`"`) {
		t.Errorf("sent %s", sent)
	}
}

func TestEnginePath_isWhereVLLMHasIt(t *testing.T) {
	t.Parallel()
	for kind, want := range map[openai.Kind]string{
		openai.Chat: "/x/v1/chat/completions", openai.Rerank: "/x/v1/rerank", openai.Score: "/x/v1/score",
		openai.Tokenize: "/x/tokenize", openai.Detokenize: "/x/detokenize",
	} {
		if got := enginePath("/x/v1", kind); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := enginePath("/api", openai.Tokenize); got != "/api/tokenize" {
		t.Errorf("a base without a version: %s", got)
	}
}

// Nobody is allowed in from a page of another site: there are no headers that a
// browser would ask for.
func TestServe_noCORS(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	for _, method := range []string{http.MethodOptions, http.MethodPost} {
		req := b.request(t, "/v1/chat/completions", chatBody(""))
		req.Method = method
		req.Header.Set("Origin", "https://evil.example")
		req.Header.Set("Access-Control-Request-Method", "POST")
		res := b.send(t, req)
		if want := map[string]int{http.MethodOptions: 405, http.MethodPost: 200}[method]; res.StatusCode != want {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s answers %s", method, name)
			}
		}
	}
}
