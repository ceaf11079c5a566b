package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/app/worldtest"
)

// world is an API over a world of the test's own.
type world struct {
	*worldtest.World

	t      *testing.T
	api    *api.API
	router *web.Router
	url    string
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{World: worldtest.New(t), t: t}
	w.api = api.New(api.Config{
		Auth: w.Auth, Catalog: w.Catalog, Instances: w.Instances, Finops: w.Finops, Gateway: w.Gateway, Loops: w.Instances.Loops(),
		Providers: []string{"mock"}, PublicURL: worldtest.URL, Version: api.Version{Version: "v1.2.3"}, Guard: w.Guard,
	})
	var err error
	w.router, err = web.New(web.Config{Log: w.Log, PublicURL: worldtest.URL})
	ok(t, err)
	ok(t, w.api.Register(w.router))
	w.url = w.Serve(w.router)
	w.Found()
	return w
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
}

// problem decodes the body of a refusal.
func (a answer) problem(t *testing.T) web.Problem {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q, body %s; want a problem", got, a.body)
	}
	var p web.Problem
	a.into(t, &p)
	if p.Status != a.status || p.Code == "" || p.Detail == "" || p.Title == "" {
		t.Errorf("problem %s does not say all of it", a.body)
	}
	return p
}

// as sends a request with a session. A body that is not empty is JSON; further
// texts are header lines.
func (w *world) as(session, method, path, body string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	ok(w.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if session != "" {
		req.AddCookie(w.Guard.Cookies.Set(session))
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	ok(w.t, err)
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, resp.Body)
	ok(w.t, err)
	return answer{resp.StatusCode, resp.Header, b.String()}
}

// do is as with the owner's session.
func (w *world) do(method, path, body string, headers ...string) answer {
	w.t.Helper()
	return w.as(w.Session, method, path, body, headers...)
}

const deployment = `{"name":"chat","model":"inventiv/simulated-chat","offers":["mock/local-1/SIM-L4-1-24G"],"replicas":{"min":0,"max":2}}`
