package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/inventiv-it-for-ai/inventiv/app/http1"
	"github.com/inventiv-it-for-ai/inventiv/app/socket"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
)

// pidFile names the process in its data folder.
const pidFile = "serve.pid"

const (
	headerTimeout = 5 * time.Second  // for the head of a request
	idleTimeout   = 75 * time.Second // between two requests on a connection
	headerBytes   = 8 << 10          // of a head, to which net/http adds four to eight kilobytes
)

// Run serves until ctx ends, then stops in order: /readyz says no at once and
// requests are taken for the shutdown delay yet, then no more; streams of events
// end, open answers are finished within the shutdown timeout, loops end after the
// pass in progress, usage is stored, the database is closed.
func (a *App) Run(ctx context.Context) error {
	people, err := a.handler()
	if err != nil {
		return errors.Join(err, a.close(context.WithoutCancel(ctx)))
	}
	pid := filepath.Join(a.cfg.DataDir, pidFile)
	if err := os.WriteFile(pid, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", pid, err), a.close(context.WithoutCancel(ctx)))
	}
	defer os.Remove(pid)

	hearing, deafen := context.WithCancel(context.WithoutCancel(ctx))   // the events
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx)) // the loops
	defer deafen()
	defer stopWork()

	var loops sync.WaitGroup
	heard := make(chan struct{})
	go func() { defer close(heard); a.events.Run(hearing, a.store.url) }()
	loops.Go(func() { a.auth.Keys.Run(working) })
	for _, l := range a.loops {
		loops.Go(func() { l.Run(working) })
	}

	servers, failed := errgroup.WithContext(ctx)
	front := http1.New(http1.Config{
		Handler: people, Mine: gateway.Serves, Refuse: refuseHead, Log: a.log, HeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
	})
	servers.Go(func() error {
		if err := front.Serve(ctx, a.listen.people); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", a.site, err)
		}
		return nil
	})
	all := []interface {
		Shutdown(ctx context.Context) error
		Close() error
	}{
		front,
		a.serve(servers, front.Rest(), people),
		a.serve(servers, a.listen.metrics, a.operatorHandler()),
		a.serveAgents(servers),
	}
	debug.FreeOSMemory() // migrations and a first password take ten times what lives
	a.log.InfoContext(ctx, "serving", "url", a.site, "agents", a.listen.agents.Addr().String(),
		"metrics", a.listen.metrics.Addr().String(), "version", a.version)
	<-failed.Done()
	a.stopping.Store(true)
	if ctx.Err() != nil { // told to, not because a server has failed
		<-time.After(a.cfg.ShutdownDelay)
	}

	a.gateway.Stop()
	deafen() // ends the streams of events, for which a server would wait
	<-heard
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.ShutdownTimeout)
	defer cancel()
	var stops sync.WaitGroup
	for _, s := range all {
		stops.Go(func() {
			if s.Shutdown(stopping) != nil {
				_ = s.Close()
			}
		})
	}
	stops.Wait()
	err = servers.Wait()
	stopWork()
	loops.Wait()
	settle, cancelSettle := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelSettle()
	return errors.Join(err, a.close(settle))
}

// serve starts a server whose end is an error unless it was told to end.
func (a *App) serve(g *errgroup.Group, ln net.Listener, h http.Handler) *http.Server {
	s := &http.Server{
		Handler: web.LimitFields(refuse, h), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		ErrorLog: quiet(a.log),
	}
	g.Go(func() error {
		if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", ln.Addr(), err)
		}
		return nil
	})
	return s
}

// serveAgents serves the agents' listener with TLS by the platform's authority.
func (a *App) serveAgents(g *errgroup.Group) *http.Server {
	s := &http.Server{
		Handler: web.LimitFields(refuse, a.instances.AgentHandler()), TLSConfig: a.instances.TLSConfig(),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes, ErrorLog: quiet(a.log),
	}
	g.Go(func() error {
		if err := s.ServeTLS(socket.Listener{Listener: a.listen.agents}, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve agents: %w", err)
		}
		return nil
	})
	return s
}

// operatorHandler is what METRICS_LISTEN answers.
func (a *App) operatorHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
