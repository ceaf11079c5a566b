package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// said returns what is said of the model: its route, and what both lists of
// models and one of them have of it.
func (b *bed) said(t *testing.T, name string) (Route, []string) {
	t.Helper()
	routes, err := b.Routes(t.Context(), auth.System(b.organisation))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Model != name {
			continue
		}
		var lists []string
		for _, path := range []string{"/v1/models", "/v1/models/" + name} {
			for _, version := range []string{"", "2023-06-01"} {
				req := b.request(t, path, "")
				req.Method = http.MethodGet
				if version != "" {
					req.Header.Set("Anthropic-Version", version)
				}
				lists = append(lists, text(t, b.send(t, req)))
			}
		}
		return r, lists
	}
	t.Fatalf("no route to %s among %+v", name, routes)
	return Route{}, nil
}

func TestModels_whatIsSetAsideIsNotReady(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer), answering(t, 200, "application/json", wholeAnswer))
	b.origin = time.Now().Add(-time.Hour)
	check := func(state, reason string) {
		t.Helper()
		route, lists := b.said(t, model)
		if route.State != state || route.Reason != reason {
			t.Errorf("the route is %s: %q; want %s: %q", route.State, route.Reason, state, reason)
		}
		for _, list := range lists {
			if !strings.Contains(list, `"state":"`+state+`"`) || strings.Contains(list, `"reason"`) != (reason != "") || !strings.Contains(list, reason) {
				t.Errorf("%s; want %s: %q", list, state, reason)
			}
		}
	}
	check(Ready, "")
	b.replicaOf(0).Fail(balance.Connection, b.now())
	check(Ready, "") // there is another one
	b.replicaOf(1).Fail(balance.Stalled, b.now())
	check(SetAside, "All 2 replicas are set aside by the gateway: it could not be reached, or broke off, or it has work and generates nothing. Requests are sent to them all the same.")
	b.instances.order = b.instances.order[:1]
	b.reloaded(t)
	check(SetAside, "Its only replica is set aside by the gateway: it could not be reached, or broke off. Requests are sent to it all the same.")
	if n, err := b.sendCanaries(t.Context()); n != 1 || err != nil {
		t.Errorf("%d replicas changed, %v: one that nobody asks is taken back by a canary", n, err)
	}
	check(Ready, "")
	b.replicaOf(0).Fail(balance.Connection, b.now())
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK {
		t.Errorf("the last one is kept from its chance: %d", res.StatusCode)
	}
	check(Ready, "")
}

func TestModels_aFallbackAnswersForWhatIsSetAside(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	b.fallsBack(t, "big/model")
	if _, err := b.AddEndpoint(t.Context(), auth.System(b.organisation), NewEndpoint{Name: "big", Model: "big/model", BaseURL: "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	b.reloaded(t)
	_ = b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "big/model", 1))
	want := "Its only replica is set aside by the gateway: it could not be reached, or broke off. Its fallback " + model + " answers meanwhile."
	if route, lists := b.said(t, "big/model"); route.Reason != want || !strings.Contains(lists[0], want) {
		t.Errorf("%+v, %s; want %s", route, lists[0], want)
	}
}

// An endpoint that nobody asks meanwhile would look set aside for ever.
func TestModels_aCheckTakesAnEndpointBackAfterItsPause(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	var up atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
	}))
	t.Cleanup(server.Close)
	b.origin = time.Now().Add(-time.Hour)
	if _, err := b.AddEndpoint(t.Context(), auth.System(b.organisation), NewEndpoint{Name: "e", Model: model, BaseURL: server.URL + "/v1"}); err != nil {
		t.Fatal(err)
	}
	b.reloaded(t)
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode == http.StatusOK {
		t.Fatal("it answers")
	}
	if route, _ := b.said(t, model); route.State != SetAside {
		t.Fatalf("%+v", route)
	}
	up.Store(true)
	failed := b.origin
	for _, c := range []struct {
		later time.Duration
		want  string
	}{{-10 * time.Minute, SetAside}, {10 * time.Minute, Ready}} { // for certain within its pause, and after it
		b.origin = failed.Add(-c.later)
		if _, err := b.checkEndpoints(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.reloaded(t)
		if route, _ := b.said(t, model); route.State != c.want {
			t.Errorf("%s later: %+v, want %s", c.later, route, c.want)
		}
	}
}
