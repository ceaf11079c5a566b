package instance

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// Model is what has to be known of a catalogue entry to deploy it.
type Model struct {
	ID        uuid.UUID
	Name      string // as clients send it
	Kind      string // chat or embedding
	VRAMGB    int    // that all GPUs together must have; 0: any
	VolumeGB  int    // recommended
	Simulated bool   // the simulator serves it, on the mock cloud only
	Engine    []byte // default engine settings: JSON of a wire.EngineSpec, or empty
}

// Offer is a server type in a zone, as the catalogue knows it.
type Offer struct {
	Ref          OfferRef
	VRAMGB       int // of all GPUs together
	PricePerHour money.EUR
	Stock        Stock
}

// Catalog is what can be deployed, and on what.
type Catalog interface {
	// Model returns an active model that the organisation may use, by id or
	// name; a fault.NotFound when there is none.
	Model(ctx context.Context, organisation uuid.UUID, idOrName string) (Model, error)
	// Offers returns the offers that may be rented.
	Offers(ctx context.Context) ([]Offer, error)
	// Refresh writes what a provider says of price and stock.
	Refresh(ctx context.Context, provider string, offers []ProviderOffer) error
}

// Config is what the service needs.
type Config struct {
	Pool      *pgxpool.Pool
	Keyring   *keyring.Ring
	Catalog   Catalog
	Providers map[string]Provider // by code; those this process may use
	Hub       *tunnel.Hub
	Events    *events.Hub // wakes the loops; nil in a test without one
	Log       *slog.Logger

	// AgentEndpoint is what agents are told to dial: a comma-separated list of
	// host:port.
	AgentEndpoint string

	Timing Timing

	// Failpoint is called at each place where a crash must not hurt; nil but in
	// tests.
	Failpoint func(name string)
}

// Timing holds the times that decide when something is given up. Zero values
// are the defaults; tests shorten them.
type Timing struct {
	Lease       time.Duration // how long a claim lasts; 15 s
	Step        time.Duration // how long one step may take; shorter than Lease; 10 s
	Grace       time.Duration // how late a provider may list what it has made; 25 s
	OrphanGrace time.Duration // age at which something that nobody wants is deleted; 15 min
	Suspect     time.Duration // silence of a node; 30 s
	Lost        time.Duration // silence of a node; 120 s
	Replace     time.Duration // silence after which a node is replaced; 10 min
	Check       time.Duration // between looks at a healthy instance; 30 s
	Backoff     time.Duration // before a failed replica is replaced, doubled each time; 15 s
}

func (t Timing) withDefaults() Timing {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&t.Lease, 15 * time.Second}, {&t.Step, 10 * time.Second}, {&t.Grace, 25 * time.Second},
		{&t.OrphanGrace, 15 * time.Minute}, {&t.Suspect, 30 * time.Second}, {&t.Lost, 120 * time.Second},
		{&t.Replace, 10 * time.Minute}, {&t.Check, 30 * time.Second}, {&t.Backoff, 15 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	return t
}

// Service owns deployments, instances and nodes. Make it with New.
type Service struct {
	pool      *pgxpool.Pool
	keyring   *keyring.Ring
	catalog   Catalog
	providers map[string]Provider
	hub       *tunnel.Hub
	log       *slog.Logger
	endpoint  string
	timing    Timing
	failpoint func(name string)

	authority *authority
	listening *listening
	loops     []*loop.Loop
	reconcile *loop.Loop
	scale     *loop.Loop
	limits    *limits

	mu    sync.Mutex
	aside map[uuid.UUID]time.Time // instances whose node has no tunnel to this process
}

// New returns the service with its loops, not started. It creates the
// platform's authority for agents if this is the first process of all.
func New(ctx context.Context, c Config) (*Service, error) {
	s := &Service{
		pool: c.Pool, keyring: c.Keyring, catalog: c.Catalog, providers: c.Providers, hub: c.Hub, log: c.Log,
		endpoint: c.AgentEndpoint, timing: c.Timing.withDefaults(), failpoint: c.Failpoint,
		aside: map[uuid.UUID]time.Time{}, limits: newLimits(),
	}
	if s.failpoint == nil {
		s.failpoint = func(string) {}
	}
	var err error
	if s.authority, err = openAuthority(ctx, c.Pool, c.Keyring); err != nil {
		return nil, err
	}
	now, err := s.q().Clock(ctx)
	if err != nil {
		return nil, err
	}
	s.listening = &listening{from: now, last: now}
	s.reconcile = loop.New("reconcile", reconcilePeriod, c.Log, s.Reconcile)
	s.scale = loop.New("scale", 2*time.Second, c.Log, s.scalePass)
	s.loops = []*loop.Loop{
		s.reconcile, s.scale,
		loop.New("watch", watchPeriod, c.Log, s.watchPass),
		loop.New("sweep", 30*time.Second, c.Log, s.sweepPass),
		loop.New("offers", 30*time.Second, c.Log, s.offersPass),
		loop.New("retention", 10*time.Minute, c.Log, s.retentionPass),
	}
	if c.Events != nil {
		c.Events.On(events.Instance, s.wake)
		c.Events.On(events.Deployment, s.scale.Wake)
	}
	return s, nil
}

// Loops returns the loops that the process has to run.
func (s *Service) Loops() []*loop.Loop { return s.loops }

// Installation identifies the database's installation in tags at providers.
func (s *Service) Installation() uuid.UUID { return s.authority.id }

// Connected tells the service that an instance gained or lost a link of its
// tunnel: it is meant to be the function a tunnel.Hub is made with.
func (s *Service) Connected(id uuid.UUID) {
	s.takeBack(id)
	s.reconcile.Wake()
}

// Open opens a stream through the tunnel to the agent of the instance. It fails
// with tunnel.ErrNotConnected when there is no tunnel.
func (s *Service) Open(id uuid.UUID) (*tunnel.Stream, error) {
	return s.hub.Open(id) //nolint:wrapcheck // as promised
}

func (s *Service) wake() {
	s.reconcile.Wake()
	s.scale.Wake()
}

func (s *Service) q() *instancedb.Queries { return instancedb.New(s.pool) }

// tell posts that an instance changed.
func tell(ctx context.Context, tx pgx.Tx, organisation, id uuid.UUID) error {
	return events.Post(ctx, tx, events.Event{Topic: events.Instance, Key: id.String(), Organisation: organisation})
}

func tellDeployment(ctx context.Context, tx pgx.Tx, organisation, id uuid.UUID) error {
	return events.Post(ctx, tx, events.Event{Topic: events.Deployment, Key: id.String(), Organisation: organisation})
}

// tellCharge posts that something billed for an instance began or ended.
func tellCharge(ctx context.Context, tx pgx.Tx, organisation, id uuid.UUID) error {
	return events.Post(ctx, tx, events.Event{Topic: events.Charge, Key: id.String(), Organisation: organisation})
}
