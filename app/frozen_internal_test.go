package app

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// answer is what came back, and after how long.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

// ask sends a request of a page, or of a program when its path is the API's.
func (e *edge) ask(session, line, body string) answer {
	method, path, _ := strings.Cut(line, " ")
	ctx, cancel := context.WithTimeout(e.t.Context(), 6*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.people+path, strings.NewReader(body))
	if err != nil {
		e.t.Error(err)
		return answer{}
	}
	req.AddCookie(e.guard.Cookies.Set(session))
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if strings.HasPrefix(path, "/api/") {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", path)
	}
	asked := time.Now()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		e.t.Errorf("%s: %v", line, err)
		return answer{}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Errorf("%s: %v", line, err)
	}
	return answer{res.StatusCode, res.Header, string(text), time.Since(asked)}
}

// While PostgreSQL is frozen, whoever asks for a page or the JSON API hears so
// in bounded time, also where a page would have been drawn from the database and
// where more ask than the pool has connections. Afterwards all goes on.
func TestEdge_F26_pagesAndTheAPIDoNotWaitForAFrozenDatabase(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	e := serveEdgeOn(t, server.URL())
	ctx := t.Context()
	signIn := func() string {
		token, err := e.auth.SignIn(ctx, "ada@example.test", edgePassword, auth.Client{IP: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	ada, err := e.auth.Authenticate(ctx, signIn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.auth.CreateOrganisation(ctx, ada, ada.UserID, "Atelier Nord", false); err != nil {
		t.Fatal(err)
	}
	session := signIn()
	credentials := url.Values{"email": {"ada@example.test"}, "password": {edgePassword}}.Encode()
	requests := []struct{ line, body string }{
		{"GET /", ""}, {"GET /deployments", ""}, {"GET /usage", ""}, {"GET /usage.csv", ""}, {"GET /audit", ""}, {"GET /events/stream", ""},
		{"POST /sign-in", credentials}, {"POST /sign-out", ""}, {"POST /playground/v1/chat/completions", `{}`},
		{"GET /api/v1/keys", ""}, {"GET /api/v1/instances", ""}, {"POST /api/v1/keys", `{"name":"late"}`},
	}
	for _, r := range requests[:5] {
		if a := e.ask(session, r.line, r.body); a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", r.line, a.status, a.body)
		}
	}

	server.Freeze()
	var all sync.WaitGroup
	for _, r := range requests {
		all.Go(func() {
			a := e.ask(session, r.line, r.body)
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.took > 2*patience {
				t.Errorf("%s: %d after %s, to be tried again after %q: %s", r.line, a.status, a.took, a.header.Get("Retry-After"), a.body)
			}
			said, media := "<!doctype html>", "text/html"
			if strings.Contains(r.line, "/api/") {
				said, media = `"code":"database_unavailable"`, "application/problem+json"
			}
			if !strings.Contains(a.body, said) || !strings.HasPrefix(a.header.Get("Content-Type"), media) {
				t.Errorf("%s: answered in %s: %s", r.line, a.header.Get("Content-Type"), a.body)
			}
		})
	}
	all.Go(func() { // the page would have the menu of who is signed in
		if a := e.ask(session, "GET /nowhere", ""); a.status != http.StatusNotFound || a.took > 2*patience || !strings.Contains(a.body, "<!doctype html>") {
			t.Errorf("an unknown page: %d after %s: %s", a.status, a.took, a.body)
		}
	})
	all.Wait()

	server.Thaw()
	for _, line := range []string{"GET /", "GET /usage", "GET /usage.csv", "GET /api/v1/keys"} {
		if a := e.ask(session, line, ""); a.status != http.StatusOK {
			t.Errorf("thawed: %s: %d %s", line, a.status, a.body)
		}
	}
	for _, r := range []struct{ line, body string }{{"POST /sign-in", credentials}, {"POST /sign-out", ""}} {
		if a := e.ask(session, r.line, r.body); a.status != http.StatusSeeOther {
			t.Errorf("thawed: %s: %d %s", r.line, a.status, a.body)
		}
	}
}
