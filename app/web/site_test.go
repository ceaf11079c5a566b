package web_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

// site is a router with a log that can be read.
type site struct {
	handler http.Handler
	log     *bytes.Buffer
}

func newSite(t *testing.T, routes func(r *web.Router)) site {
	t.Helper()
	log := &bytes.Buffer{}
	r, err := web.New(web.Config{
		Log:       slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		PublicURL: "https://inventiv.example",
		SignIn:    "/login",
		MaxBody:   64,
		Lost:      func(_ context.Context, err error) bool { return strings.Contains(err.Error(), "lost") },
		ErrorPage: func(_ *echo.Context, p web.Problem) templ.Component {
			return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
				_, err := fmt.Fprintf(w, "<h1>%s</h1><p>%s</p><p>%s</p><i>%s</i>", p.Title, p.Detail, p.Fix, p.RequestID)
				return err
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	routes(r)
	h, err := r.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return site{handler: h, log: log}
}

func (s site) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	return rec
}
