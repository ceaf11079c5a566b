package app

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/app/console"
	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// patience is how long a page or the JSON API waits for the database at a time.
const patience = 10 * time.Second

// handler is what LISTEN answers: /v1 is the gateway's and goes there without
// detour, everything else is routed, each route with its policy.
func (a *App) handler() (http.Handler, error) {
	pages := console.New(console.Config{
		Auth: a.auth, Guard: a.guard, Catalog: a.catalog, Instances: a.instances, Finops: a.finops, Gateway: a.gateway, Events: a.events,
		Loops: a.Loops(), Providers: a.rents, PublicURL: a.site, AuditDays: a.cfg.AuditDays, Version: a.version, Log: a.log,
	})
	router, err := web.New(web.Config{Log: a.log, PublicURL: a.site, SignIn: console.SignIn, ErrorPage: pages.ErrorPage, Lost: lost})
	if err != nil {
		return nil, fmt.Errorf("make the routes: %w", err)
	}
	public := a.guard.Public()
	router.GET("/healthz", public, func(c *echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	router.GET("/readyz", public, a.getReady)
	router.GET("/version", public, func(c *echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"version": a.version})
	})
	if err := api.New(api.Config{
		Auth: a.auth, Catalog: a.catalog, Instances: a.instances, Finops: a.finops, Gateway: a.gateway, Loops: a.Loops(),
		Providers: a.rents, PublicURL: a.site, Version: a.about(), Guard: a.guard,
	}).Register(router); err != nil {
		return nil, fmt.Errorf("make the JSON API: %w", err)
	}
	if err := pages.Register(router); err != nil {
		return nil, fmt.Errorf("make the pages: %w", err)
	}
	routed, err := router.Handler()
	if err != nil {
		return nil, fmt.Errorf("make the routes: %w", err)
	}
	split := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.stopping.Load() {
			w.Header().Set("Connection", "close") // the next request goes elsewhere
		}
		if gateway.Serves(r.URL.Path) {
			a.gateway.ServeHTTP(w, r)
			return
		}
		routed.ServeHTTP(w, r.WithContext(db.WithPatience(r.Context(), patience)))
	})
	return web.Front(web.FrontConfig{
		Hosts: a.cfg.Hosts(a.listen.people.Addr().String()), Proxies: a.cfg.TrustedProxies, Refuse: refuse,
	}, split), nil
}

// lost reports that a request failed because the database is away.
func lost(ctx context.Context, err error) bool { return db.IsLost(err) || db.PatienceEnded(ctx, err) }

// refuse answers a request that nobody looks at further, to clients of the
// gateway in the shape that they read.
func refuse(w http.ResponseWriter, r *http.Request, f *fault.Error) {
	if !gateway.Serves(r.URL.Path) {
		web.Refuse(w, r, f)
		return
	}
	gateway.Refuse(w, r, &openai.Error{
		Status: web.Status(f), Type: openai.InvalidRequest, Code: f.Kind, Message: f.Text + " " + f.Fix,
	}, uuid.Must(uuid.NewV7()).String())
}

// refuseHead answers a request for the gateway of which nothing but the head was
// looked at, and that in part.
func refuseHead(w http.ResponseWriter, r *http.Request, status int) {
	f := fault.New(fault.Invalid, "The head of the request is longer than 16 KiB.").WithKind("header_too_large").WithFix("Send less in header fields.")
	if status == http.StatusExpectationFailed {
		f = fault.New(fault.Invalid, "The header Expect may only be `100-continue`.").WithKind("expectation_failed").WithFix("Leave it out.")
	}
	gateway.Refuse(w, r, &openai.Error{
		Status: status, Type: openai.InvalidRequest, Code: f.Kind, Message: f.Text + " " + f.Fix,
	}, uuid.Must(uuid.NewV7()).String())
}

// getReady serves GET /readyz: whether requests should be sent here.
func (a *App) getReady(c *echo.Context) error {
	switch {
	case a.stopping.Load():
		return c.String(http.StatusServiceUnavailable, "stopping\n")
	case !a.gateway.Ready():
		return c.String(http.StatusServiceUnavailable, "starting\n")
	}
	if err := db.Ready(c.Request().Context(), a.store.pool); err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	return c.String(http.StatusOK, "ready\n")
}

// about says what runs.
func (a *App) about() api.Version {
	v := api.Version{Version: a.version, Commit: "unknown", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	return v
}
