// Package web is the glue between HTTP and the modules: routes that cannot be
// added without saying who may use them, faults turned into answers, pages,
// event streams, and the headers and checks that every answer needs. It holds
// no business.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v5"
)

// Policy says who may use a route and refuses everybody else. The module that
// knows who is asking implements it.
type Policy interface {
	// Name describes the policy in one word or two, such as "public" or
	// "session keys.own".
	Name() string
	// Wrap returns a handler that calls next only for those who may. It
	// returns fault.Signin or fault.Denied for the others.
	Wrap(next echo.HandlerFunc) echo.HandlerFunc
}

// Config is what a Router needs to know. Log is required.
type Config struct {
	Log *slog.Logger
	// PublicURL is the address people use, such as "https://inventiv.example".
	// Where it is https, browsers are told to stay with https.
	PublicURL string
	// SignIn is the path of the sign-in page. A page that needs a session
	// redirects there, with the page's own address in ?return=.
	SignIn string
	// ErrorPage renders a problem as a page. Without it people read plain text.
	ErrorPage func(c *echo.Context, p Problem) templ.Component
	// Lost reports that an error of a request, which is no fault, says that the
	// database is away: that is over soon, and no failure of ours. None is when it
	// is nil.
	Lost func(ctx context.Context, err error) bool
	// MaxBody limits a request's body, in bytes; 2 MiB when it is 0.
	MaxBody int64
	// BodyTime is how long a request's body may take to arrive; 30 s when it is 0.
	BodyTime time.Duration
}

// Route is a registered route, for the table of permissions and the OpenAPI
// document.
type Route struct {
	Method, Path string
	Policy       string
}

// Router maps URLs to handlers. There is no way to add a route without a
// policy: mistakes are collected and Handler refuses to return.
type Router struct {
	cfg      Config
	echo     *echo.Echo
	routes   []Route
	problems []error
}

const (
	defaultMaxBody  = 2 << 20
	defaultBodyTime = 30 * time.Second
)

// New returns a router without routes.
func New(cfg Config) (*Router, error) {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = defaultMaxBody
	}
	if cfg.BodyTime == 0 {
		cfg.BodyTime = defaultBodyTime
	}
	origins, err := crossOrigin(cfg.PublicURL)
	if err != nil {
		return nil, err
	}
	r := &Router{cfg: cfg}
	r.echo = echo.NewWithConfig(echo.Config{
		Logger:           cfg.Log,
		HTTPErrorHandler: r.answerError,
		// Front has put the client's address there, from trusted proxies only.
		IPExtractor: echo.ExtractIPDirect(),
		Router: echo.NewRouter(echo.RouterConfig{
			AutoHandleHEAD:          true, // a GET never changes anything
			UnescapePathParamValues: true,
		}),
	})
	// Outermost first. These run before routing, so that an unknown path is
	// answered, logged and hardened like any other.
	r.echo.Pre(
		withRequestID,
		r.accessLog,
		r.settleErrors,
		securityHeaders(cfg.PublicURL),
		recoverPanics,
		origins,
		r.limitBody,
	)
	return r, nil
}

// GET adds a route that only reads. HEAD is answered too, without the body.
func (r *Router) GET(path string, p Policy, h echo.HandlerFunc) {
	r.Handle(http.MethodGet, path, p, h)
}

// Handle adds a route for any method. Paths have parameters as in
// "/instances/:id".
func (r *Router) Handle(method, path string, p Policy, h echo.HandlerFunc) {
	switch {
	case p == nil:
		r.problems = append(r.problems, fmt.Errorf("route %s %s has no policy", method, path))
		return
	case h == nil:
		r.problems = append(r.problems, fmt.Errorf("route %s %s has no handler", method, path))
		return
	}
	_, err := r.echo.AddRoute(echo.Route{Method: method, Path: path, Handler: exactly(path, p.Wrap(h))})
	if err != nil {
		r.problems = append(r.problems, fmt.Errorf("route %s %s: %w", method, path, err))
		return
	}
	r.routes = append(r.routes, Route{Method: method, Path: path, Policy: p.Name()})
}

// exactly keeps the last parameter of path from swallowing further segments,
// as echo's router lets it: "/keys/:id" is not to match "/keys/1/2". An encoded
// slash stays part of the parameter.
func exactly(path string, next echo.HandlerFunc) echo.HandlerFunc {
	if !strings.Contains(path, ":") || strings.Contains(path, "*") {
		return next
	}
	segments := strings.Count(path, "/")
	return func(c *echo.Context) error {
		if strings.Count(c.Request().URL.EscapedPath(), "/") != segments {
			return echo.ErrNotFound
		}
		return next(c)
	}
}

// Routes returns what was registered, in that order.
func (r *Router) Routes() []Route { return r.routes }

// Handler returns the finished handler, or every mistake made with the routes:
// one without a policy, without a handler, or registered twice. It compares
// with what echo really serves, so a route added past the router is found.
func (r *Router) Handler() (http.Handler, error) {
	known := make(map[string]bool, len(r.routes))
	for _, route := range r.routes {
		known[route.Method+" "+route.Path] = true
	}
	problems := r.problems
	for _, served := range r.echo.Router().Routes() {
		if !known[served.Method+" "+served.Path] {
			problems = append(problems, fmt.Errorf("route %s %s has no policy", served.Method, served.Path))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("check routes: %w", errors.Join(problems...))
	}
	return r.echo, nil
}
