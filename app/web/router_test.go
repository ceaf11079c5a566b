package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

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
