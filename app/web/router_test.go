package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

// open lets everybody in; members only who says who he is.
type policy string

const (
	open    policy = "public"
	members policy = "session"
)

func (p policy) Name() string { return string(p) }

func (p policy) Wrap(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		if p == members && c.Request().Header.Get("X-Member") == "" {
			return fault.New(fault.Signin, "Sign in first.")
		}
		return next(c)
	}
}

func ok(c *echo.Context) error { return c.String(http.StatusOK, "ok "+c.Param("id")) }

func TestHandler_refusesRoutesWithoutPolicy(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		add  func(r *web.Router)
		want string
	}{
		"no policy":  {func(r *web.Router) { r.GET("/a", nil, ok) }, "route GET /a has no policy"},
		"no handler": {func(r *web.Router) { r.Handle(http.MethodPost, "/b", open, nil) }, "route POST /b has no handler"},
		"twice": {func(r *web.Router) {
			r.GET("/c", open, ok)
			r.GET("/c", members, ok)
		}, "route GET /c"},
		"both named": {func(r *web.Router) {
			r.GET("/d", nil, ok)
			r.Handle(http.MethodPut, "/e", nil, ok)
		}, "route PUT /e has no policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := web.New(web.Config{Log: quiet})
			if err != nil {
				t.Fatal(err)
			}
			r.GET("/fine", open, ok)
			c.add(r)
			if _, err := r.Handler(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Handler = %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestRouter_servesAndLists(t *testing.T) {
	t.Parallel()
	r, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.GET("/things/:id", members, ok)
	r.Handle(http.MethodPatch, "/things/:id", members, ok)
	r.Handle(http.MethodDelete, "/things/:id", members, ok)
	h, err := r.Handler()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Routes()); got != "[{GET /things/:id session} {PATCH /things/:id session} {DELETE /things/:id session}]" {
		t.Errorf("Routes = %s", got)
	}
	s := site{handler: h}
	if rec := s.do("GET", "/things/a%20b", "", "X-Member", "1"); rec.Body.String() != "ok a b" {
		t.Errorf("GET = %d %q", rec.Code, rec.Body)
	}
	if rec := s.do("HEAD", "/things/7", "", "X-Member", "1"); rec.Code != 200 || rec.Body.Len() != 0 {
		t.Errorf("HEAD = %d with %d bytes, want 200 and none", rec.Code, rec.Body.Len())
	}
	if rec := s.do("GET", "/things/7", "", "Accept", "application/json"); rec.Code != http.StatusUnauthorized {
		t.Errorf("GET without session = %d, want 401", rec.Code)
	}
}

func TestErrors_statusAndBody(t *testing.T) {
	t.Parallel()
	secret := errors.New("pq: password authentication failed for 10.1.2.3")
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		detail string
		after  string
	}{
		"not found":             {fault.New(fault.NotFound, "There is no such key."), 404, "not_found", "There is no such key.", ""},
		"wrapped":               {fmt.Errorf("act: %w", fault.New(fault.Denied, "No.")), 403, "denied", "No.", ""},
		"kind":                  {fault.New(fault.Exhausted, "No L4 is left.").WithKind("out_of_stock"), 409, "out_of_stock", "No L4 is left.", ""},
		"conflict":              {fault.New(fault.Conflict, "Taken."), 409, "conflict", "Taken.", ""},
		"throttled":             {fault.New(fault.Throttled, "Slower."), 429, "throttled", "Slower.", "5"},
		"throttled for a while": {fault.New(fault.Throttled, "Slower.").WithAfter(61500 * time.Millisecond), 429, "throttled", "Slower.", "62"},
		"invalid":               {fault.New(fault.Invalid, "What?"), 400, "invalid", "What?", ""},
		"invalid field":         {fault.New(fault.Invalid, "Too long.").WithField("name"), 422, "invalid", "Too long.", ""},
		"used up":               {fault.New(fault.Conflict, "Used.").WithKind(web.KindUsedUp), 410, "setup_done", "Used.", ""},
		"unavailable":           {fault.New(fault.Unavailable, "Away.").WithCause(secret), 503, "unavailable", "Away.", "5"},
		"timeout":               {fmt.Errorf("ask: %w", context.DeadlineExceeded), 504, "timeout", "This took too long and was given up.", ""},
		"database away":         {errors.New("10.1.2.3: connection lost"), 503, "database_unavailable", "The database does not answer.", "5"},
		"lost and said":         {fault.New(fault.Invalid, "What?").WithCause(errors.New("lost")), 400, "invalid", "What?", ""},
		"ours":                  {fmt.Errorf("claim: %w", secret), 500, "internal", "Something went wrong on our side.", ""},
		"echo's":                {echo.NewHTTPError(400, "strconv.ParseInt: nonsense"), 400, "invalid", "The request could not be read.", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(r *web.Router) {
				fail := func(*echo.Context) error { return c.err }
				r.GET("/api/v1/x", open, fail)
				r.GET("/x", open, fail)
			})
			rec := s.do("GET", "/api/v1/x", "")
			var p web.Problem
			if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
				t.Fatalf("body is not JSON: %v: %s", err, rec.Body)
			}
			if rec.Code != c.status || p.Status != c.status || p.Code != c.code || p.Detail != c.detail {
				t.Errorf("API answered %d %+v; want %d %s %q", rec.Code, p, c.status, c.code, c.detail)
			}
			if h := rec.Header(); h.Get("Content-Type") != "application/problem+json" || h.Get("Retry-After") != c.after {
				t.Errorf("the head is %v; want it to say again after %q", h, c.after)
			}
			if p.RequestID == "" || p.RequestID != rec.Header().Get("X-Request-Id") {
				t.Errorf("request id %q in the body, %q in the header", p.RequestID, rec.Header().Get("X-Request-Id"))
			}
			page := s.do("GET", "/x", "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
			if page.Code != c.status || !strings.Contains(page.Body.String(), "<p>"+c.detail+"</p>") ||
				!strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") || page.Header().Get("Retry-After") != c.after {
				t.Errorf("page answered %d %v %s", page.Code, page.Header(), page.Body)
			}
			for _, body := range []string{rec.Body.String(), page.Body.String()} {
				if strings.Contains(body, "10.1.2.3") || strings.Contains(body, "strconv") {
					t.Errorf("internals reached the client: %s", body)
				}
			}
			wantLogged := 0
			if c.status >= 500 {
				wantLogged = 1
			}
			if got := strings.Count(s.log.String(), p.RequestID+`","method":"GET","route":"/api/v1/x","status":`+fmt.Sprint(c.status)+`,"err"`); got != wantLogged {
				t.Errorf("logged %d times as failed, want %d:\n%s", got, wantLogged, s.log)
			}
		})
	}
}

func TestErrors_everyFieldAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(r *web.Router) {
		r.GET("/api/v1/x", open, func(*echo.Context) error {
			return fmt.Errorf("check: %w", errors.Join(
				fault.New(fault.Invalid, "A name is needed.").WithField("name"),
				fault.New(fault.Invalid, "At least 1.").WithField("replicas.min").WithFix("Use 1."),
			))
		})
	})
	var p web.Problem
	rec := s.do("GET", "/api/v1/x", "")
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	want := []web.FieldError{
		{Pointer: "/name", Detail: "A name is needed.", Code: "invalid"},
		{Pointer: "/replicas/min", Detail: "At least 1.", Code: "invalid", Fix: "Use 1."},
	}
	if p.Status != 422 || fmt.Sprint(p.Errors) != fmt.Sprint(want) {
		t.Errorf("problem = %+v", p)
	}
}

func TestErrors_pagesThatNeedASessionRedirect(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(r *web.Router) {
		r.GET("/usage", members, ok)
		r.Handle(http.MethodPost, "/usage", members, ok)
	})
	rec := s.do("GET", "/usage?by=model", "", "Accept", "text/html")
	if rec.Code != 303 || rec.Header().Get("Location") != "/login?return=%2Fusage%3Fby%3Dmodel" {
		t.Errorf("GET = %d to %q", rec.Code, rec.Header().Get("Location"))
	}
	if rec := s.do("GET", "/usage", "", "Hx-Request", "true"); rec.Code != 401 {
		t.Errorf("GET of a fragment = %d, want 401", rec.Code)
	}
	if rec := s.do("POST", "/usage", ""); rec.Code != 401 {
		t.Errorf("POST = %d, want 401", rec.Code)
	}
}

func TestErrors_panicIsAnswered(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(r *web.Router) {
		r.GET("/api/v1/x", open, func(*echo.Context) error { panic("the secret is 42") })
		r.GET("/half", open, func(c *echo.Context) error {
			if err := c.String(http.StatusOK, "half"); err != nil {
				return err
			}
			return errors.New("too late")
		})
	})
	rec := s.do("GET", "/api/v1/x", "")
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "the secret") || strings.Contains(rec.Body.String(), "goroutine") {
		t.Errorf("answered %d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(s.log.String(), "the secret is 42") || !strings.Contains(s.log.String(), "router_test.go") {
		t.Errorf("the log lacks the panic and its stack:\n%s", s.log)
	}
	if rec := s.do("GET", "/half", ""); rec.Code != 200 || rec.Body.String() != "half" {
		t.Errorf("an error after the answer changed it: %d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(s.log.String(), "too late") {
		t.Error("an error after the answer was not logged")
	}
}

// B18: unknown paths and methods are answered like everything else.
func TestRouter_B18_unknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(r *web.Router) {
		r.GET("/api/v1/keys/:id", open, ok)
		r.GET("/instances", open, ok)
	})
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api/v1//keys/1", 404},
		{"GET", "/api/v1/%2e%2e/instances", 404},
		{"GET", "/api/v1/keys/1/../../../instances", 404},
		{"GET", "/api/v1/keys/1/2", 404},
		{"GET", "/api/v1/keys/org%2Fname", 200},
		{"GET", "/instances;x", 404},
		{"GET", "/nowhere", 404},
		{"TRACE", "/instances", 405},
		{"DELETE", "/instances", 405},
		{"CONNECT", "/instances", 405},
	} {
		rec := s.do(c.method, c.path, "")
		if rec.Code != c.status {
			t.Errorf("%s %s = %d, want %d", c.method, c.path, rec.Code, c.status)
		}
		if rec.Header().Get("Content-Security-Policy") == "" || rec.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s %s: an unknown path is answered without the usual headers", c.method, c.path)
		}
	}
	if rec := s.do("POST", "/api/v1/keys/1", ""); !strings.Contains(rec.Header().Get("Allow"), "GET") {
		t.Errorf("405 without Allow: %v", rec.Header())
	}
}

func TestHeaders_onEveryAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(r *web.Router) {
		r.GET("/page", open, ok)
		r.GET("/asset", open, func(c *echo.Context) error {
			c.Response().Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			return ok(c)
		})
	})
	for _, path := range []string{"/page", "/none"} {
		h := s.do("GET", path, "").Header()
		for name, want := range map[string]string{
			"Content-Security-Policy":      "script-src 'self';",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "same-origin",
			"X-Content-Type-Options":       "nosniff",
			"Strict-Transport-Security":    "max-age=63072000",
			"Cache-Control":                "no-store",
		} {
			if !strings.Contains(h.Get(name), want) {
				t.Errorf("%s: %s = %q, want %q in it", path, name, h.Get(name), want)
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Error("the content policy allows something unsafe")
		}
	}
	if got := s.do("GET", "/asset", "").Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("an asset's own Cache-Control was lost: %q", got)
	}
	plain, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), PublicURL: "http://127.0.0.1:8080"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := plain.Handler()
	if err != nil {
		t.Fatal(err)
	}
	if rec := (site{handler: h}).do("GET", "/", ""); rec.Header().Get("Strict-Transport-Security") != "" {
		t.Error("HSTS on plain http")
	}
}

// Who may send what from where.
func TestCrossOrigin_table(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(r *web.Router) {
		r.GET("/api/v1/x", open, ok)
		r.Handle(http.MethodPost, "/api/v1/x", open, ok)
	})
	for name, c := range map[string]struct {
		method  string
		headers []string
		want    int
	}{
		"command line":                 {"POST", nil, 200},
		"same origin":                  {"POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"typed address":                {"POST", []string{"Sec-Fetch-Site", "none"}, 200},
		"sister domain":                {"POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"other site":                   {"POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"old browser, other site":      {"POST", []string{"Origin", "https://evil.example"}, 403},
		"old browser, null":            {"POST", []string{"Origin", "null"}, 403},
		"old browser, public URL":      {"POST", []string{"Origin", "https://inventiv.example"}, 200},
		"reading from another site":    {"GET", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		"public URL through the proxy": {"POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://inventiv.example"}, 200},
	} {
		if rec := s.do(c.method, "/api/v1/x", "", c.headers...); rec.Code != c.want {
			t.Errorf("%s: %d, want %d: %s", name, rec.Code, c.want, rec.Body)
		} else if c.want == 403 && !strings.Contains(rec.Body.String(), `"code":"cross_origin"`) {
			t.Errorf("%s: %s", name, rec.Body)
		}
	}
}

// B08, B21: what a JSON body may look like.
func TestReadJSON_B08_B21_refusals(t *testing.T) {
	t.Parallel()
	type engine struct {
		Kind string `json:"kind"`
	}
	type request struct {
		Name   string    `json:"name"`
		Min    int       `json:"min"`
		Engine engine    `json:"engine"`
		At     time.Time `json:"at"`
		Floor  *big.Int  `json:"floor"`
	}
	s := newSite(t, func(r *web.Router) {
		r.Handle(http.MethodPost, "/api/v1/x", open, func(c *echo.Context) error {
			var v request
			if err := web.ReadJSON(c, &v); err != nil {
				return err
			}
			return c.JSON(http.StatusOK, v)
		})
	})
	const asJSON = "application/json; charset=utf-8"
	for name, c := range map[string]struct {
		media, body string
		status      int
		want        string
	}{
		"good":           {asJSON, `{"name":"a","min":1}`, 200, `"name":"a"`},
		"unknown field":  {asJSON, `{"name":"a","role":"owner"}`, 400, `"pointer":"/role"`},
		"wrong type":     {asJSON, `{"min":"10"}`, 400, `"pointer":"/min"`},
		"nested":         {asJSON, `{"engine":{"kind":7}}`, 400, `"pointer":"/engine/kind"`},
		"no moment":      {asJSON, `{"at":"tomorrow"}`, 400, "Write it as 2026-01-31T12:00:00Z."},
		"whose moment":   {asJSON, `{"at":"tomorrow"}`, 400, `"pointer":"/at"`},
		"an own type":    {asJSON, `{"min":1,"floor":"much"}`, 400, `"pointer":"/floor"`},
		"and its reason": {asJSON, `{"floor":"much"}`, 400, "floor cannot be accepted: math/big: cannot unmarshal"},
		"fraction":       {asJSON, `{"min":1.5}`, 400, "min is a JSON number"},
		"not an object":  {asJSON, `[1]`, 400, "JSON array where an object"},
		"syntax":         {asJSON, `{"name":}`, 400, "at byte 9"},
		"cut":            {asJSON, `{"name":"a`, 400, "ends too early"},
		"empty":          {asJSON, ``, 400, "The body is empty."},
		"trailing":       {asJSON, `{} {}`, 400, "Something follows"},
		"trailing brace": {asJSON, `{}}`, 400, "Something follows"},
		"form":           {"application/x-www-form-urlencoded", `name=a`, 415, "unsupported_media_type"},
		"no type":        {"", `{}`, 415, "Content-Type: application/json"},
		"too large":      {asJSON, `{"name":"` + strings.Repeat("x", 64) + `"}`, 413, "64 bytes"},
	} {
		rec := s.do("POST", "/api/v1/x", c.body, "Content-Type", c.media)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: %d %s; want %d with %q", name, rec.Code, rec.Body, c.status, c.want)
		}
	}

	// A body that does not say how long it is, and does not end.
	req := httptest.NewRequest(http.MethodPost, "/api/v1/x", io.MultiReader(
		strings.NewReader(`{"name":"`), strings.NewReader(strings.Repeat("x", 1<<16))))
	req.ContentLength = -1
	req.Header.Set("Content-Type", asJSON)
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	if rec.Code != 413 || rec.Header().Get("Connection") != "close" {
		t.Errorf("endless body: %d %s", rec.Code, rec.Body)
	}
}

func TestAccessLog_keepsSecretsOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(r *web.Router) {
		r.GET("/setup/:ticket", open, ok)
		r.Handle(http.MethodPost, "/keys", open, ok)
	})
	s.do("GET", "/setup/one-time-secret?token=query-secret", "")
	s.do("GET", "/mistyped/one-time-secret?token=query-secret", "")
	s.do("POST", "/keys", "", "Authorization", "Bearer header-secret")
	log := s.log.String()
	for _, secret := range []string{"one-time-secret", "query-secret", "header-secret"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %s:\n%s", secret, log)
		}
	}
	for _, want := range []string{
		`"level":"DEBUG","msg":"request"`, `"route":"/setup/:ticket","status":200`, `"status":404`,
		`"level":"INFO","msg":"request"`, `"method":"POST","route":"/keys"`, `"ip":"192.0.2.1"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
}

func TestRender_failingPageIsAnError(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(r *web.Router) {
		r.GET("/good", open, func(c *echo.Context) error {
			return web.Render(c, http.StatusAccepted, templ.Raw("<b>good</b>"))
		})
		r.GET("/bad", open, func(c *echo.Context) error {
			return web.Render(c, http.StatusOK, templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
				fmt.Fprint(w, "<b>half a page")
				return errors.New("row vanished")
			}))
		})
	})
	if rec := s.do("GET", "/good", ""); rec.Code != 202 || rec.Body.String() != "<b>good</b>" {
		t.Errorf("good = %d %s", rec.Code, rec.Body)
	}
	rec := s.do("GET", "/bad", "")
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "half a page") || strings.Contains(rec.Body.String(), "vanished") {
		t.Errorf("bad = %d %s", rec.Code, rec.Body)
	}
}
