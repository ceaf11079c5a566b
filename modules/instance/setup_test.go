package instance_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

const (
	simChat = "inventiv/simulated-chat"
	offer1  = "mock/local-1/SIM-L4-1-24G"
	offer2  = "mock/local-2/SIM-L4-1-24G"
)

var quick = instance.Timing{
	Lease: 2 * time.Second, Step: 1500 * time.Millisecond, Grace: 500 * time.Millisecond, OrphanGrace: time.Millisecond,
	Check: 100 * time.Millisecond, Backoff: 50 * time.Millisecond,
}

// world is a control plane on a database, a folder and a port of its own.
type world struct {
	*instance.Service
	pool     *pgxpool.Pool
	cloud    *mock.Cloud
	dir      string
	org      uuid.UUID
	actor    auth.Actor
	endpoint string
	ring     *keyring.Ring
	deaf     atomic.Bool // heartbeats are not answered
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// setup makes a world. Nothing moves in it until something calls a pass, or
// run.
func setup(t *testing.T, edit ...func(*instance.Config)) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{pool: dbtest.New(t), dir: t.TempDir(), org: uuid.New()}
	sql(t, w.pool, `INSERT INTO auth.organisations (id, name, slug) VALUES ($1, 'Test', 'test')`, w.org)
	w.actor = auth.System(w.org)
	var err error
	if w.ring, err = keyring.Create(filepath.Join(w.dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	w.cloud = newCloud(t, w.dir)
	goods := catalog.New(w.pool)
	if err := goods.Load(ctx); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.endpoint = listener.Addr().String()
	c := config(w.pool, w.ring, w.cloud, w.endpoint)
	var tell atomic.Pointer[instance.Service]
	c.Hub = tunnel.NewHub(func(id uuid.UUID) {
		if s := tell.Load(); s != nil {
			s.Connected(id)
		}
	})
	for _, f := range edit {
		f(&c)
	}
	if w.Service, err = instance.New(ctx, c); err != nil {
		t.Fatal(err)
	}
	tell.Store(w.Service)
	agents := w.AgentHandler()
	serveAgents(t, listener, w.Service, c.Hub, func(rw http.ResponseWriter, r *http.Request) {
		if w.deaf.Load() && r.URL.Path == wire.HeartbeatPath {
			http.Error(rw, "out of order", http.StatusBadGateway)
			return
		}
		agents.ServeHTTP(rw, r)
	})
	return w
}

func config(pool *pgxpool.Pool, ring *keyring.Ring, cloud *mock.Cloud, endpoint string) instance.Config {
	return instance.Config{
		Pool: pool, Keyring: ring, Catalog: shop{catalog.New(pool)}, Hub: tunnel.NewHub(nil), Log: quiet(),
		Providers: map[string]instance.Provider{"mock": cloud}, AgentEndpoint: endpoint, Timing: quick,
	}
}

func newCloud(t *testing.T, dir string) *mock.Cloud {
	t.Helper()
	cloud := newCloudAt(t, filepath.Join(dir, "mock"))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := cloud.Shutdown(ctx); err != nil {
			t.Errorf("shut the mock cloud down: %v", err)
		}
	})
	return cloud
}

func newCloudAt(t *testing.T, dir string) *mock.Cloud {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := mock.New(mock.Config{Dir: dir, Agent: mock.Command(self, nil), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return cloud
}

func serveAgents(t *testing.T, listener net.Listener, s *instance.Service, hub *tunnel.Hub, h http.HandlerFunc) {
	t.Helper()
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(tls.NewListener(listener, s.TLSConfig()))
	}()
	t.Cleanup(func() {
		hub.Close()
		_ = server.Close()
		<-done
	})
}

// run runs the loops until the test ends or stop is called.
func (w *world) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	for _, l := range w.Loops() {
		g.Go(func() { l.Run(ctx) })
	}
	stop = func() { cancel(); g.Wait() }
	t.Cleanup(stop)
	return stop
}

func (w *world) deploy(t *testing.T, name string, low, high int, offers ...string) instance.Deployment {
	t.Helper()
	if len(offers) == 0 {
		offers = []string{offer1}
	}
	d, err := w.Deploy(t.Context(), w.actor, instance.DeployRequest{Name: name, Model: simChat, Offers: offers, Min: low, Max: high})
	if err != nil {
		t.Fatalf("deploy %s: %v", name, err)
	}
	return d
}

// knobs writes mock.json.
func (w *world) knobs(t *testing.T, k mock.Knobs) {
	t.Helper()
	raw, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "mock", "mock.json")
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (w *world) list(t *testing.T, states ...instance.State) []instance.Instance {
	t.Helper()
	all, err := w.Instances(t.Context(), w.org, instance.Filter{States: states})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// eventually waits until ok, and fails the test when it never is.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

func (w *world) waitReady(t *testing.T, n int, within time.Duration) {
	t.Helper()
	eventually(t, within, "enough instances are ready", func() bool {
		all := w.list(t, instance.Ready)
		if len(all) < n && t.Failed() {
			t.Logf("%+v", w.list(t))
		}
		return len(all) == n
	})
}

func sql(t *testing.T, pool *pgxpool.Pool, query string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func scalar[T any](t *testing.T, pool *pgxpool.Pool, query string, args ...any) T {
	t.Helper()
	var v T
	if err := pool.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// shop is the catalogue as the service wants it.
type shop struct{ *catalog.Service }

func (s shop) Model(ctx context.Context, org uuid.UUID, ref string) (instance.Model, error) {
	m, err := s.Service.Model(ctx, org, ref)
	return instance.Model{
		ID: m.ID, Name: m.Name, Kind: string(m.Kind), VRAMGB: m.RequiredVRAMGB, VolumeGB: m.VolumeGB, Simulated: m.Simulated,
	}, err
}

func (s shop) Offers(ctx context.Context) ([]instance.Offer, error) {
	all, err := s.Service.Offers(ctx)
	var out []instance.Offer
	for _, o := range all {
		if o.Active {
			out = append(out, instance.Offer{
				Ref:    instance.OfferRef{Provider: o.Provider, Zone: o.Zone, Type: o.Type},
				VRAMGB: o.VRAMGB(), PricePerHour: o.PricePerHour, Stock: instance.Stock(o.Stock),
			})
		}
	}
	return out, err
}

func (s shop) Refresh(ctx context.Context, provider string, offers []instance.ProviderOffer) error {
	out := make([]catalog.Offer, 0, len(offers))
	for _, o := range offers {
		out = append(out, catalog.Offer{Provider: provider, Zone: o.Zone, Type: o.Type, PricePerHour: o.PricePerHour, Stock: catalog.Stock(o.Stock)})
	}
	_, err := s.UpsertOffers(ctx, out)
	return err
}
