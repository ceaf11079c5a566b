package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to, or "". It is
// shown to people, logged, and sent as X-Request-Id.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID gives each request an id of our own. One that a client sends
// is not taken over: it could forge the log.
func withRequestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		v7, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make request id: %w", err)
		}
		id := "req_" + strings.ReplaceAll(v7.String(), "-", "")
		c.Response().Header().Set("X-Request-Id", id)
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), requestIDKey{}, id)))
		return next(c)
	}
}

// accessLog writes one line per request: what changes something, and what went
// wrong, for everybody; reading only at debug level. It logs the route and not
// the path or the query, in which one-time links carry secrets.
func (r *Router) accessLog(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		start := time.Now()
		err := next(c)
		req := c.Request()
		res, status := echo.ResolveResponseStatus(c.Response(), err)
		level := slog.LevelInfo
		if isSafe(req.Method) && status < http.StatusBadRequest {
			level = slog.LevelDebug
		}
		attrs := []slog.Attr{
			slog.String("request_id", RequestID(req.Context())),
			slog.String("method", req.Method),
			slog.String("route", c.Path()),
			slog.Int("status", status),
			slog.Duration("took", time.Since(start)),
			slog.String("ip", c.RealIP()),
		}
		if res != nil {
			attrs = append(attrs, slog.Int64("bytes", res.Size))
		}
		r.cfg.Log.LogAttrs(req.Context(), level, "request", attrs...)
		return err
	}
}

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// contentPolicy allows what the console is made of: its own scripts and
// styles, no inline ones, and nobody's frame. Trusted types are not required:
// htmx puts the fragments that we rendered into the page.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; object-src 'none'"

// securityHeaders are on every answer. Nothing is cached unless its handler
// says otherwise, as the one for assets does.
func securityHeaders(publicURL string) echo.MiddlewareFunc {
	headers := [][2]string{
		{"Cache-Control", "no-store"},
		{"Content-Security-Policy", contentPolicy},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
		{"Referrer-Policy", "same-origin"},
		{"X-Content-Type-Options", "nosniff"},
	}
	if strings.HasPrefix(publicURL, "https://") {
		headers = append(headers, [2]string{"Strict-Transport-Security", "max-age=63072000; includeSubDomains"})
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			h := c.Response().Header()
			for _, kv := range headers {
				h.Set(kv[0], kv[1])
			}
			return next(c)
		}
	}
}

// recoverPanics turns a panic into an error with its stack, for the log only.
func recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) (err error) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p) // net/http's own way to drop a connection
			default:
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return next(c)
	}
}

// crossOrigin refuses changes that another site's page asks a browser to make.
func crossOrigin(publicURL string) (echo.MiddlewareFunc, error) {
	guard := http.NewCrossOriginProtection()
	if publicURL != "" {
		u, err := url.Parse(publicURL)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("read public URL %q: it needs a scheme and a host", publicURL)
		}
		// Also behind a proxy that changes the Host header.
		if err := guard.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, fmt.Errorf("trust public URL %q: %w", publicURL, err)
		}
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			if err := guard.Check(c.Request()); err != nil {
				return fault.New(fault.Denied, "This request came from a page of another site and was refused.").
					WithKind(KindCrossOrigin).WithFix("Use the console's own pages, or an API key.")
			}
			return next(c)
		}
	}, nil
}

// limitBody refuses a body that says it is too large, and cuts one that lies and
// one that does not arrive.
func (r *Router) limitBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		req := c.Request()
		if req.ContentLength > r.cfg.MaxBody {
			return &http.MaxBytesError{Limit: r.cfg.MaxBody}
		}
		if req.Body != nil && req.Body != http.NoBody {
			// The server takes the deadline away when it has come to the body's end.
			err := http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(r.cfg.BodyTime))
			if err != nil && !errors.Is(err, http.ErrNotSupported) {
				return fmt.Errorf("limit the time of a body: %w", err)
			}
			req.Body = timedBody{http.MaxBytesReader(c.Response(), req.Body, r.cfg.MaxBody)}
		}
		return next(c)
	}
}

var errSlowBody = fault.New(fault.Invalid, "The request did not arrive in time.").WithKind(KindSlowBody).WithFix("Send it again.")

// timedBody says what has happened when it is cut off.
type timedBody struct{ io.ReadCloser }

func (b timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errSlowBody
	}
	return n, err //nolint:wrapcheck // whoever reads expects the body's own
}
