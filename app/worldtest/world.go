// Package worldtest makes what tests of the console and of the JSON API stand
// on: every module over a database of the test's own. No loop runs, so nothing
// changes but by requests, and no model is served.
package worldtest

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

const (
	// URL is the address that the world believes to have.
	URL = "http://127.0.0.1"
	// Password is everybody's.
	Password = "violet tractor under nine bridges"
)

// World is every module.
type World struct {
	Pool      *pgxpool.Pool
	Log       *slog.Logger
	Auth      *auth.Service
	Guard     *auth.Guard
	Catalog   *catalog.Service
	Hub       *events.Hub
	Instances *instance.Service
	Finops    *finops.Service
	Gateway   *gateway.Service

	Billed []finops.Resource // what providers bill, as the test says

	SetUp   string     // the link of the first admin; used by Found
	Owner   auth.Actor // operates the platform, too
	Session string     // token of the owner's

	t *testing.T
}

// New makes a world that nobody has set up yet.
func New(t *testing.T) *World {
	t.Helper()
	w := &World{t: t, Pool: dbtest.New(t), Log: slog.New(slog.DiscardHandler)}
	ctx := t.Context()
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "master.key"))
	w.ok(err)
	w.ok(auth.CheckKeyring(ctx, w.Pool, ring))
	w.Auth = auth.New(w.Pool, ring, w.Log, auth.Options{})
	w.Guard = auth.NewGuard(w.Auth, URL)
	w.Catalog = catalog.New(w.Pool)
	w.ok(w.Catalog.Load(ctx))
	w.Hub = events.New(w.Log)
	cloud, err := mock.New(mock.Config{Dir: t.TempDir(), Log: w.Log})
	w.ok(err)
	tunnels := tunnel.NewHub(func(uuid.UUID) {})
	t.Cleanup(tunnels.Close)
	w.Instances, err = instance.New(ctx, instance.Config{
		Pool: w.Pool, Keyring: ring, Catalog: deployable{w.Catalog}, Providers: map[string]instance.Provider{"mock": cloud},
		Hub: tunnels, Events: w.Hub, Log: w.Log, AgentEndpoint: "127.0.0.1:1",
	})
	w.ok(err)
	w.Finops = finops.New(w.Pool, billed{w})
	w.Gateway, err = gateway.New(gateway.Config{
		Pool: w.Pool, Keyring: ring, Keys: w.Auth.Keys, Instances: nothing{}, Prices: nothing{}, Models: w.Catalog, Accounts: w.Auth, Events: w.Hub,
		SpoolDir: t.TempDir(), Log: w.Log,
	})
	w.ok(err)
	t.Cleanup(func() { w.ok(w.Gateway.Close(context.WithoutCancel(ctx))) })
	w.SetUp, err = w.Auth.BootstrapAdmin(ctx, "ada@example.test", "")
	w.ok(err)
	return w
}

// Found has the first admin set up an organisation and sign in.
func (w *World) Found() {
	w.t.Helper()
	w.Session = w.redeem(w.SetUp, "Atelier Nord")
	var err error
	w.Owner, err = w.Auth.Authenticate(w.t.Context(), w.Session)
	w.ok(err)
}

// Member makes a member of the owner's organisation and returns his session.
func (w *World) Member(role auth.Role) string {
	w.t.Helper()
	return w.join(w.Owner, string(role)+"@example.test", role)
}

// Stranger makes another organisation and returns a session in it.
func (w *World) Stranger() string {
	w.t.Helper()
	o, err := w.Auth.CreateOrganisation(w.t.Context(), w.Owner, w.Owner.UserID, "Elsewhere", false)
	w.ok(err)
	there := w.Owner
	there.Organisation = o.ID
	return w.join(there, "eve@example.test", auth.Owner)
}

func (w *World) join(by auth.Actor, email string, role auth.Role) string {
	w.t.Helper()
	_, link, err := w.Auth.AddMember(w.t.Context(), by, email, role)
	w.ok(err)
	return w.redeem(link, "")
}

func (w *World) redeem(link, organisation string) string {
	w.t.Helper()
	token, err := w.Auth.Redeem(w.t.Context(), link, Password, organisation, auth.Client{})
	w.ok(err)
	return token
}

// Serve has a router answer, and returns its address.
func (w *World) Serve(router *web.Router) string {
	w.t.Helper()
	handler, err := router.Handler()
	w.ok(err)
	server := httptest.NewServer(handler)
	w.t.Cleanup(server.Close)
	return server.URL
}

func (w *World) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// billed tells finops what the test says.
type billed struct{ world *World }

func (b billed) Resources(context.Context, time.Time) ([]finops.Resource, error) {
	return b.world.Billed, nil
}

// nothing is served or priced.
type nothing struct{}

func (nothing) Routes(context.Context) ([]gateway.Replica, []gateway.Sleeping, error) {
	return nil, nil, nil
}
func (nothing) Open(uuid.UUID) (upstream.Conn, error) { return nil, errors.ErrUnsupported }
func (nothing) Wake(context.Context, auth.Actor, string) (bool, error) {
	return false, errors.ErrUnsupported
}
func (nothing) Used(context.Context, []uuid.UUID) error            { return nil }
func (nothing) PriceBook(context.Context) ([]gateway.Price, error) { return nil, nil }

// deployable is the catalogue in the words of instance.
type deployable struct{ catalog *catalog.Service }

func (d deployable) Model(ctx context.Context, organisation uuid.UUID, ref string) (instance.Model, error) {
	m, err := d.catalog.Model(ctx, organisation, ref)
	return instance.Model{
		ID: m.ID, Name: m.Name, Kind: string(m.Kind), VRAMGB: m.RequiredVRAMGB, VolumeGB: m.VolumeGB, Simulated: m.Simulated, Engine: m.Engine,
	}, err
}

func (d deployable) Offers(ctx context.Context) ([]instance.Offer, error) {
	offers, err := d.catalog.Offers(ctx)
	list := make([]instance.Offer, len(offers))
	for i, o := range offers {
		list[i] = instance.Offer{
			Ref: instance.OfferRef{Provider: o.Provider, Zone: o.Zone, Type: o.Type}, VRAMGB: o.VRAMGB(), PricePerHour: o.PricePerHour,
			Stock: instance.Stock(o.Stock),
		}
	}
	return list, err
}

func (deployable) Refresh(context.Context, string, []instance.ProviderOffer) error { return nil }
