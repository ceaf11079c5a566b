package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
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

// world is an API over a database of its own, with an organisation and its
// owner. No loop runs, so nothing changes but by requests.
type world struct {
	t       *testing.T
	pool    *pgxpool.Pool
	auth    *auth.Service
	guard   *auth.Guard
	finops  *finops.Service
	api     *api.API
	router  *web.Router
	url     string
	owner   auth.Actor
	session string // token of the owner's session
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, pool: dbtest.New(t)}
	log := slog.New(slog.DiscardHandler)
	ctx := t.Context()
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "master.key"))
	ok(t, err)
	ok(t, auth.CheckKeyring(ctx, w.pool, ring))
	w.auth = auth.New(w.pool, ring, log, auth.Options{})
	models := catalog.New(w.pool)
	ok(t, models.Load(ctx))
	hub := events.New(log)
	cloud, err := mock.New(mock.Config{Dir: t.TempDir(), Log: log})
	ok(t, err)
	tunnels := tunnel.NewHub(func(uuid.UUID) {})
	t.Cleanup(tunnels.Close)
	instances, err := instance.New(ctx, instance.Config{
		Pool: w.pool, Keyring: ring, Catalog: deployable{models}, Providers: map[string]instance.Provider{"mock": cloud},
		Hub: tunnels, Events: hub, Log: log, AgentEndpoint: "127.0.0.1:1",
	})
	ok(t, err)
	w.finops = finops.New(w.pool, nothing{})
	gate, err := gateway.New(gateway.Config{
		Pool: w.pool, Keyring: ring, Keys: w.auth.Keys, Instances: nothing{}, Prices: nothing{}, Models: models, Accounts: w.auth, Events: hub,
		SpoolDir: t.TempDir(), Log: log,
	})
	ok(t, err)
	t.Cleanup(func() { ok(t, gate.Close(context.WithoutCancel(ctx))) })
	w.guard = auth.NewGuard(w.auth, "http://127.0.0.1")
	w.api = api.New(api.Config{
		Auth: w.auth, Catalog: models, Instances: instances, Finops: w.finops, Gateway: gate, Loops: instances.Loops(),
		Providers: []string{"mock"}, PublicURL: "http://127.0.0.1", Version: api.Version{Version: "v1.2.3"}, Guard: w.guard,
	})
	w.router, err = web.New(web.Config{Log: log, PublicURL: "http://127.0.0.1"})
	ok(t, err)
	ok(t, w.api.Register(w.router))
	handler, err := w.router.Handler()
	ok(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	w.url = server.URL

	link, err := w.auth.BootstrapAdmin(ctx, "ada@example.test", "")
	ok(t, err)
	w.session, err = w.auth.Redeem(ctx, link, password, "Atelier Nord", auth.Client{})
	ok(t, err)
	w.owner, err = w.auth.Authenticate(ctx, w.session)
	ok(t, err)
	return w
}

const password = "violet tractor under nine bridges"

// member makes a member of the owner's organisation and returns his session.
func (w *world) member(role auth.Role) string {
	w.t.Helper()
	_, link, err := w.auth.AddMember(w.t.Context(), w.owner, string(role)+"@example.test", role)
	ok(w.t, err)
	token, err := w.auth.Redeem(w.t.Context(), link, password, "", auth.Client{})
	ok(w.t, err)
	return token
}

// stranger makes another organisation and returns a session in it.
func (w *world) stranger() string {
	w.t.Helper()
	o, err := w.auth.CreateOrganisation(w.t.Context(), w.owner, w.owner.UserID, "Elsewhere", false)
	ok(w.t, err)
	there := w.owner
	there.Organisation = o.ID
	_, link, err := w.auth.AddMember(w.t.Context(), there, "eve@example.test", auth.Owner)
	ok(w.t, err)
	token, err := w.auth.Redeem(w.t.Context(), link, password, "", auth.Client{})
	ok(w.t, err)
	return token
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
}

// problem decodes the body of a refusal.
func (a answer) problem(t *testing.T) web.Problem {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q, body %s; want a problem", got, a.body)
	}
	var p web.Problem
	a.into(t, &p)
	if p.Status != a.status || p.Code == "" || p.Detail == "" || p.Title == "" {
		t.Errorf("problem %s does not say all of it", a.body)
	}
	return p
}

// as sends a request with a session. A body that is not empty is JSON; further
// texts are header lines.
func (w *world) as(session, method, path, body string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	ok(w.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if session != "" {
		req.AddCookie(w.guard.Cookies.Set(session))
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	ok(w.t, err)
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, resp.Body)
	ok(w.t, err)
	return answer{resp.StatusCode, resp.Header, b.String()}
}

// do is as with the owner's session.
func (w *world) do(method, path, body string, headers ...string) answer {
	w.t.Helper()
	return w.as(w.session, method, path, body, headers...)
}

const deployment = `{"name":"chat","model":"inventiv/simulated-chat","offers":["mock/local-1/SIM-L4-1-24G"],"replicas":{"min":0,"max":2}}`

// nothing is billed, served or priced.
type nothing struct{}

func (nothing) Resources(context.Context, time.Time) ([]finops.Resource, error) { return nil, nil }
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
		}
	}
	return list, err
}

func (deployable) Refresh(context.Context, string, []instance.ProviderOffer) error { return nil }
