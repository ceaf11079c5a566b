package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// Keys says whom an API key acts for, from memory.
type Keys interface {
	Check(ctx context.Context, token string) (auth.Principal, error)
	// Revoked reports whether a key that was good has been revoked since.
	Revoked(token string) bool
}

// Instances knows the machines that serve models.
type Instances interface {
	// Routes returns the replicas that take requests now, and the models that
	// are deployed without one.
	Routes(ctx context.Context) ([]Replica, []Sleeping, error)
	// Open makes a connection to a replica's agent, which speaks HTTP for its
	// engine.
	Open(id uuid.UUID) (upstream.Conn, error)
	// Wake has a model of the actor's organisation that is asleep start a
	// replica, and reports whether it has: of those who ask, one does.
	Wake(ctx context.Context, actor auth.Actor, model string) (bool, error)
	// Used notes that replicas have had requests in the last half minute.
	Used(ctx context.Context, replicas []uuid.UUID) error
}

// Replica is an instance that is ready, online and eligible.
type Replica struct {
	ID, Organisation uuid.UUID
	Model, Name      string
	Embeds           bool // it answers /v1/embeddings, not chat
	Gauges           balance.Gauges
}

// Sleeping is a model that is deployed and has no replica at the moment.
type Sleeping struct {
	Organisation uuid.UUID
	Model        string
	State        string        // in a word: Asleep, Waking, or another one
	Message      string        // for people: how far one that is Waking is
	Left         time.Duration // until it usually serves; 0: not known
}

// Prices knows what tokens cost.
type Prices interface {
	PriceBook(ctx context.Context) ([]Price, error)
}

// Price is the current price of a model's tokens, per million.
type Price struct {
	ID            int64
	Organisation  uuid.UUID // whose price it is; nil for everybody without one of their own
	Model         string
	Input, Output money.EUR
}

// Models is the catalogue.
type Models interface {
	// EnsureModel makes an entry for a model that is not in it yet.
	EnsureModel(ctx context.Context, organisation uuid.UUID, name string) error
	// Named returns the name of a model that is given by id or name, and
	// whether it embeds; a fault.NotFound when there is none.
	Named(ctx context.Context, organisation uuid.UUID, ref string) (name string, embeds bool, err error)
}

// Config is what a Service needs.
type Config struct {
	Pool       *pgxpool.Pool
	Keyring    *keyring.Ring
	Keys       Keys
	Instances  Instances
	Prices     Prices
	Models     Models
	Accounts   Accounts
	Events     *events.Hub
	SpoolDir   string        // this process's own
	MaxBody    int64         // bytes of one request; 0 means 32 MiB
	WakeWait   time.Duration // for a request until the model it has woken serves
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil for no metrics
}

const (
	defaultMaxBody = 32 << 20
	buffersAtOnce  = 8 // as many of the biggest bodies may be held in all
)

// Service is the gateway. It is an http.Handler for everything below /v1/.
type Service struct {
	pool      *pgxpool.Pool
	ring      *keyring.Ring
	log       *slog.Logger
	keys      Keys
	instances Instances
	prices    Prices
	models    Models
	accounts  Accounts
	admission *admission
	events    *events.Hub
	spool     *spool.Spool
	metrics   *metrics

	toPublic, toPrivate http.RoundTripper // endpoints, to look after them
	limits              limits
	table               atomic.Pointer[table]
	origin              time.Time    // from which the moments of balance are counted
	held                atomic.Int64 // bytes of bodies in memory
	parked              atomic.Int64 // of these, of requests that wait for a model to wake
	stopping            atomic.Bool  // nobody should wait for a model to wake any more

	batch     usageBatch         // these seven are of the flush pass alone
	witness   spool.Witness      // the record that was stored last
	confirmed time.Time          // when it was seen to be there
	used      map[uuid.UUID]bool // instances with records since noted
	noted     time.Time          // when the instances' use was told, the last time
	untold    map[uuid.UUID]bool // organisations with new usage
	toldAt    time.Time

	routeLoop, flushLoop, checkLoop, canaryLoop, partitionLoop *loop.Loop
}

// limits bound what one request, or all together, may take.
type limits struct {
	body      int64         // bytes of a request
	held      int64         // bytes of all bodies in memory
	bodyTime  time.Duration // to send a request
	answer    int64         // bytes of an answer that is no stream
	firstByte time.Duration // from sending a request to the answer's head
	gap       time.Duration // between two pieces of an answer
	write     time.Duration // for the client to take a piece
	replica   int64         // requests that an instance is sent at once; as many wait
	wait      time.Duration // for a request until there is room at an instance
	wakeWait  time.Duration // for a request until the model it has woken serves
	firstBeat time.Duration // after which a stream that waits for that is begun
}

// New returns a gateway whose loops do not run yet. It opens the usage spool
// and fails as spool.Open does.
func New(c Config) (*Service, error) {
	records, err := spool.Open(c.SpoolDir)
	if err != nil {
		return nil, err //nolint:wrapcheck // a sentence for people
	}
	if r := records.Recovered; r != (spool.Recovery{}) {
		say := c.Log.Info
		if r.BadBytes > 0 {
			say = c.Log.Error // a copy is in the quarantine
		}
		say("usage spool recovered", "finals", r.Finals, "interrupted", r.Interrupted, "torn_bytes", r.TornBytes, "bad_bytes", r.BadBytes)
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	s := &Service{
		pool: c.Pool, ring: c.Keyring, log: c.Log, keys: c.Keys, instances: c.Instances, prices: c.Prices, models: c.Models,
		accounts: c.Accounts, admission: newAdmission(c.Pool, c.Log),
		events: c.Events, spool: records, toPublic: toEndpoints(false), toPrivate: toEndpoints(true), untold: map[uuid.UUID]bool{},
		used: map[uuid.UUID]bool{}, origin: time.Now(), witness: records.Witness(),
		limits: limits{
			body: c.MaxBody, held: buffersAtOnce * c.MaxBody, bodyTime: time.Minute, answer: 64 << 20,
			firstByte: 10 * time.Minute, gap: 2 * time.Minute, write: 30 * time.Second,
			replica: 1024, wait: 30 * time.Second, wakeWait: c.WakeWait, firstBeat: 5 * time.Second,
		},
	}
	s.metrics = newMetrics(c.Registerer, s)
	s.table.Store(&table{})
	s.routeLoop = loop.New("routes", time.Second, c.Log, s.reload)
	s.flushLoop = loop.New("usage", flushEvery, c.Log, s.flush)
	s.checkLoop = loop.New("endpoints", 15*time.Second, c.Log, s.checkEndpoints)
	s.canaryLoop = loop.New("canaries", canaryEvery, c.Log, s.sendCanaries)
	s.partitionLoop = loop.New("usage partitions", 6*time.Hour, c.Log, s.partition)
	c.Events.On(events.Limit, s.admission.loop.Wake)
	for _, topic := range []string{events.Instance, events.Deployment, events.Endpoint, events.Model} {
		c.Events.On(topic, s.routeLoop.Wake)
	}
	c.Events.On(events.Endpoint, s.checkLoop.Wake)
	return s, nil
}

// Ready reports whether the gateway knows its routes and its limits, without
// which it refuses every request.
func (s *Service) Ready() bool { return s.table.Load().loaded && s.admission.gates.Load() != nil }

// Loops returns the gateway's loops; the caller runs them.
func (s *Service) Loops() []*loop.Loop {
	return []*loop.Loop{s.routeLoop, s.admission.loop, s.flushLoop, s.checkLoop, s.canaryLoop, s.partitionLoop}
}

// Close stores what the spool holds, if the database is there within ctx, and
// closes the spool; what is left is stored after the next start. It is called
// when requests and loops have ended.
func (s *Service) Close(ctx context.Context) error {
	if _, err := s.flush(ctx); err != nil && s.spool.Depth().Waiting > 0 {
		s.log.WarnContext(ctx, "usage records stay in the spool", "err", err)
	}
	if err := s.admission.leave(ctx); err != nil {
		s.log.WarnContext(ctx, "leases of limits are kept until they run out", "err", err)
	}
	return s.spool.Close() //nolint:wrapcheck // says enough
}
