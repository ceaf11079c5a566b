package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// statusClientGone is what the access log shows for a request whose client
// left before the answer, as nginx has it. Nobody receives it.
const statusClientGone = 499

// settleErrors answers an error inside the access log, so that the log sees
// the status that was sent.
func (r *Router) settleErrors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		if err := next(c); err != nil {
			r.answerError(c, err)
		}
		return nil
	}
}

// answerError turns err into an answer: problem+json for programs, a page for
// people. What is ours is logged, once, with the request id; clients never see
// more of it than that id.
func (r *Router) answerError(c *echo.Context, err error) {
	req := c.Request()
	ctx := req.Context()
	id := RequestID(ctx)
	res, _ := echo.UnwrapResponse(c.Response())
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		if res != nil && !res.Committed {
			res.Status = statusClientGone
		}
		return
	}
	if r.cfg.Lost != nil && fault.As(err) == nil && r.cfg.Lost(ctx, err) {
		err = fault.New(fault.Unavailable, "The database does not answer.").WithKind("database_unavailable").WithCause(err).
			WithFix("Try again in a moment.")
	}
	p := ProblemOf(err, id)
	if p.Status >= http.StatusInternalServerError {
		r.cfg.Log.ErrorContext(ctx, "request failed",
			"request_id", id, "method", req.Method, "route", c.Path(), "status", p.Status, "err", err)
	}
	if res != nil && res.Committed {
		return // too late for another answer
	}
	if p.Status >= http.StatusInternalServerError || p.Status == http.StatusRequestEntityTooLarge {
		c.Response().Header().Set("Cache-Control", "no-store")
	}
	if p.Status == http.StatusRequestEntityTooLarge {
		c.Response().Header().Set("Connection", "close") // the rest of the body is not worth reading
	}
	SetRetryAfter(c.Response().Header(), faultsIn(err)[0])
	if err := r.send(c, p); err != nil && ctx.Err() == nil {
		r.cfg.Log.WarnContext(ctx, "error answer could not be sent", "request_id", id, "err", err)
	}
}

func (r *Router) send(c *echo.Context, p Problem) error {
	switch {
	case wantsJSON(c.Request()):
		writeProblem(c.Response(), p)
		return nil
	case p.Status == http.StatusUnauthorized && r.cfg.SignIn != "" && isPageLoad(c.Request()):
		back := c.Request().URL.RequestURI()
		return c.Redirect(http.StatusSeeOther, r.cfg.SignIn+"?return="+url.QueryEscape(back))
	case r.cfg.ErrorPage != nil:
		err := Render(c, p.Status, r.cfg.ErrorPage(c, p))
		if err == nil || isCommitted(c) {
			return err
		}
		r.cfg.Log.ErrorContext(c.Request().Context(), "error page failed", "request_id", p.RequestID, "err", err)
	}
	return c.String(p.Status, plain(p))
}

func isCommitted(c *echo.Context) bool {
	res, err := echo.UnwrapResponse(c.Response())
	return err == nil && res.Committed
}

// wantsJSON reports whether a program is asking: below /api/, or by its Accept
// header.
func wantsJSON(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		return true
	}
	accept := r.Header.Get("Accept")
	return !strings.Contains(accept, "text/html") &&
		(strings.Contains(accept, "json") || strings.Contains(accept, "text/event-stream"))
}

// isPageLoad reports whether a browser is loading a whole page, which may be
// redirected; a fragment fetched by script may not.
func isPageLoad(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Hx-Request") == ""
}

// writeProblem answers with problem+json, whatever the framework.
func writeProblem(w http.ResponseWriter, p Problem) {
	body, err := json.Marshal(p)
	if err != nil { // strings and ints always marshal
		body = []byte(`{"title":"Internal error","status":500,"code":"internal"}`)
	}
	w.Header().Set("Content-Type", echo.MIMEApplicationProblemJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	//nolint:errcheck // the client may be gone; nothing is left to tell it
	w.Write(append(body, '\n'))
}

// plain is the answer when not even the error page works.
func plain(p Problem) string {
	lines := []string{p.Detail}
	if p.Fix != "" {
		lines = append(lines, p.Fix)
	}
	if p.RequestID != "" {
		lines = append(lines, "Request id: "+p.RequestID)
	}
	return strings.Join(lines, "\n") + "\n"
}

// Refuse answers f outside of a Router: in JSON to programs, in plain text to
// people.
func Refuse(w http.ResponseWriter, r *http.Request, f *fault.Error) {
	p := ProblemOf(f, "")
	SetRetryAfter(w.Header(), f)
	if wantsJSON(r) {
		writeProblem(w, p)
		return
	}
	http.Error(w, strings.TrimSpace(plain(p)), p.Status)
}
