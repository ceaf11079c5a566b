package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

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
