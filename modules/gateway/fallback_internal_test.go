package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// echo answers with the model that it was asked for, and keeps what it was sent.
type echo struct{ sent atomic.Pointer[string] }

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	text := string(body)
	e.sent.Store(&text)
	_, after, _ := strings.Cut(text, `"model":"`)
	name, _, _ := strings.Cut(after, `"`)
	answer := strings.Replace(wholeAnswer, `{"id"`, `{"model":"`+name+`","id"`, 1)
	if strings.Contains(text, `"stream":true`) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.Replace(piece, `{"choices"`, `{"model":"`+name+`","choices"`, 1)+"data: [DONE]\n\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer)
}

// fallsBack makes small/model, which some replica serves, and the fallback of
// the models that are given.
func (b *bed) fallsBack(t *testing.T, models ...string) *echo {
	t.Helper()
	e := &echo{}
	operator := auth.System(b.organisation)
	if _, err := b.AddEndpoint(t.Context(), operator, NewEndpoint{Name: "small", Model: model, BaseURL: engine(t, e.ServeHTTP)}); err != nil {
		t.Fatal(err)
	}
	for _, m := range models {
		if _, err := b.SetFallback(t.Context(), operator, m, []string{"asleep/too", model}); err != nil {
			t.Fatal(err)
		}
	}
	b.reloaded(t)
	return e
}

func TestServe_theFallbackAnswersForAModelThatSleeps(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	b.instances.sleeping = []Sleeping{{Organisation: b.organisation, Model: "big/model", State: "starting"}, {Organisation: b.organisation, Model: "other", State: "starting"}}
	e := b.fallsBack(t, "big/model", "gone/model")
	for _, asked := range []string{"big/model", "gone/model"} { // the second is deployed nowhere
		for _, stream := range []string{"", `"stream":true,`} {
			body := strings.Replace(chatBody(stream), model, asked, 1)
			res := b.ask(t, "/v1/chat/completions", body)
			got := text(t, res)
			if res.StatusCode != http.StatusOK || !strings.Contains(got, `"model":"`+model+`"`) {
				t.Errorf("%s: %d %s", asked, res.StatusCode, got)
			}
			if sent := *e.sent.Load(); strings.Contains(sent, asked) || !strings.Contains(sent, `"messages":[{"role":"user","content":"hello"}]`) {
				t.Errorf("the fallback was sent %s", sent)
			}
		}
	}
	for _, r := range b.stored(t) {
		if r.Status != "completed" || r.Model != model || r.Asked != "big/model" && r.Asked != "gone/model" || r.PriceID != 7 || r.InputPrice != money.Euro {
			t.Errorf("record = %+v", r)
		}
	}
	for body, want := range map[string]string{
		strings.Replace(chatBody(""), model, "other", 1):  "no_ready_replica", // has none
		strings.Replace(chatBody(""), model, "nobody", 1): "model_not_found",
	} {
		if got := code(t, b.ask(t, "/v1/chat/completions", body)); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	if got := code(t, b.ask(t, "/v1/embeddings", `{"model":"big/model","input":"x"}`)); got != "no_ready_replica" {
		t.Errorf("embeddings: %s", got)
	}
}

func TestServe_theFallbackTakesWhatTheOnlyReplicaDidNot(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	b.fallsBack(t, "big/model")
	if _, err := b.AddEndpoint(t.Context(), auth.System(b.organisation), NewEndpoint{Name: "big", Model: "big/model", BaseURL: "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	b.reloaded(t)
	for range 3 { // the first finds out, the others know
		res := b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "big/model", 1))
		if got := text(t, res); res.StatusCode != http.StatusOK || !strings.Contains(got, `"model":"`+model+`"`) {
			t.Fatalf("%d %s", res.StatusCode, got)
		}
	}
	for _, r := range b.stored(t) {
		if r.Model != model || r.Asked != "big/model" || !r.Endpoint || r.PriceID != 7 {
			t.Errorf("record = %+v", r)
		}
	}
	routes, err := b.Routes(t.Context(), auth.System(b.organisation))
	if err != nil || len(routes) != 2 {
		t.Fatalf("Routes = %+v, %v", routes, err)
	}
	if r := routes[0]; r.Model != "big/model" || len(r.Fallbacks) != 2 || !r.Standings[0].Ejected || r.Standings[0].Cause != "connection" ||
		time.Since(r.Standings[0].Since) > time.Minute || r.Standings[0].InFlight != 0 || !strings.Contains(r.Standings[0].Why(), "could not be reached") {
		t.Errorf("route = %+v", r)
	}
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ejected := 0.0
	for _, f := range families {
		if f.GetName() == "inventiv_gateway_replica_ejected" {
			for _, m := range f.GetMetric() {
				ejected += m.GetGauge().GetValue()
			}
		}
	}
	if ejected != 1 {
		t.Errorf("%v replicas are ejected by the metrics, want 1", ejected)
	}
}

func TestSetFallback_refusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	operator := auth.System(b.organisation)
	for name, tt := range map[string]struct {
		model  string
		models []string
		code   fault.Code
	}{
		"itself":          {"a", []string{"a"}, fault.Invalid},
		"twice":           {"a", []string{"b", "b"}, fault.Invalid},
		"nine":            {"a", strings.Split("bcdefghij", ""), fault.Invalid},
		"unknown":         {"no/such", []string{"a"}, fault.NotFound},
		"to an unknown":   {"a", []string{"no/such"}, fault.NotFound},
		"of an embedding": {"embed", []string{"a"}, fault.Invalid},
		"to an embedding": {"a", []string{"embed"}, fault.Invalid},
	} {
		if _, err := b.SetFallback(t.Context(), operator, tt.model, tt.models); !fault.Is(err, tt.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	user := auth.Actor{UserID: uuid.New(), Organisation: b.organisation, Role: auth.User}
	if _, err := b.SetFallback(t.Context(), user, "a", []string{"b"}); !fault.Is(err, fault.Denied) {
		t.Errorf("a user: %v", err)
	}
	for _, models := range [][]string{{"b"}, {"c", "b"}, nil} {
		r, err := b.SetFallback(t.Context(), operator, "a", models)
		if err != nil || len(r.Fallbacks) != len(models) {
			t.Errorf("SetFallback(%v) = %+v, %v", models, r, err)
		}
	}
	if _, err := b.SetFallback(t.Context(), operator, "no/such", nil); err != nil {
		t.Errorf("a model that the catalogue has lost keeps its fallback: %v", err)
	}
}
