// Package app puts the modules together: it is the only one that knows them
// all. It reads the settings, opens the database, builds the graph of services
// in reading order, and starts and stops everything in the right one.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

// App is one control plane process. Make it with New; Run serves.
type App struct {
	cfg     config.Serve
	version string
	log     *slog.Logger
	site    string // the address people use

	store     *store
	listen    listeners
	metrics   *prometheus.Registry
	events    *events.Hub
	tunnels   *tunnel.Hub
	auth      *auth.Service
	guard     *auth.Guard
	catalog   *catalog.Service
	instances *instance.Service
	finops    *finops.Service
	gateway   *gateway.Service
	mock      *mock.Cloud // nil without the mock provider
	rents     []string    // the providers' codes
	loops     []*loop.Loop
	stopping  atomic.Bool // nothing new should be sent here
}

// New opens everything that serving needs and starts nothing but the embedded
// database. Whatever it opened is closed again when it fails.
func New(ctx context.Context, cfg config.Serve, version string, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, version: version, log: log, metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close(context.WithoutCancel(ctx)))
		}
	}()
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	// The addresses come first: when they are taken, nothing has been touched.
	if a.listen, err = listen(ctx, cfg.Listen, cfg.AgentListen, cfg.MetricsListen); err != nil {
		return nil, err
	}
	a.site = cfg.Site(a.listen.people.Addr().String())
	providers, err := a.providers()
	if err != nil {
		return nil, err
	}
	if a.store, err = openStore(ctx, cfg.Store, log); err != nil {
		return nil, err
	}
	pool, ring := a.store.pool, a.store.ring

	a.events = events.New(log)
	a.auth = auth.New(pool, ring, log, auth.Options{AuditDays: cfg.AuditDays})
	a.guard = auth.NewGuard(a.auth, a.site)
	a.catalog = catalog.New(pool)
	if err = a.catalog.Load(ctx); err != nil {
		return nil, fmt.Errorf("load the catalogue: %w", err)
	}

	// The hub of tunnels and the service that it tells of them know each other.
	a.tunnels = tunnel.NewHub(func(id uuid.UUID) {
		if a.instances != nil {
			a.instances.Connected(id)
		}
	})
	endpoints := strings.Join(cfg.AgentEndpoints(a.listen.agents.Addr().String()), ",")
	a.instances, err = instance.New(ctx, instance.Config{
		Pool: pool, Keyring: ring, Catalog: deployable{a.catalog}, Providers: providers, Hub: a.tunnels, Events: a.events, Log: log,
		AgentEndpoint: endpoints,
	})
	if err != nil {
		return nil, fmt.Errorf("open the instances: %w", err)
	}
	a.finops = finops.New(pool, billed{a.instances})
	a.gateway, err = gateway.New(gateway.Config{
		Pool: pool, Keyring: ring, Keys: a.auth.Keys, Instances: routed{a.instances}, Prices: priced{a.catalog}, Models: a.catalog, Accounts: a.auth,
		Events: a.events, SpoolDir: filepath.Join(cfg.DataDir, "spool"), MaxBody: int64(cfg.MaxBody), WakeWait: cfg.WakeWait,
		Log: log, Registerer: a.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("open the gateway: %w", err)
	}
	a.gatherLoops()
	return a, nil
}

// gatherLoops lists every loop of the process, in the order of the loops page.
func (a *App) gatherLoops() {
	meter := loop.New("meter", 5*time.Second, a.log, a.finops.Meter)
	a.events.On(events.Charge, meter.Wake)
	a.events.On(events.Instance, meter.Wake)
	a.loops = append(a.loops, a.instances.Loops()...)
	a.loops = append(a.loops, meter)
	a.loops = append(a.loops, a.gateway.Loops()...)
	a.loops = append(a.loops, loop.New("sessions", 10*time.Minute, a.log, a.auth.Sweep))
	a.events.On(events.Key, a.auth.Keys.Wake)
	a.events.On(events.Member, a.auth.Keys.Wake)
}

// Loops lists every loop of the process, for the loops page. The table of API
// keys runs its own.
func (a *App) Loops() []*loop.Loop { return append(slices.Clone(a.loops), a.auth.Keys.Loops()...) }

// close ends what New opened, in the opposite order.
func (a *App) close(ctx context.Context) error {
	var errs []error
	a.listen.close()
	if a.gateway != nil {
		errs = append(errs, a.gateway.Close(ctx))
	}
	if a.tunnels != nil {
		a.tunnels.Close()
	}
	if a.store != nil {
		errs = append(errs, a.store.close(ctx))
	}
	return errors.Join(errs...)
}
