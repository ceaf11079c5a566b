package console_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/console"
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

// world is a console over a database of its own, with an organisation and its
// owner. No loop runs, so nothing changes but by requests.
type world struct {
	t       *testing.T
	pool    *pgxpool.Pool
	auth    *auth.Service
	guard   *auth.Guard
	catalog *catalog.Service
	hub     *events.Hub
	gateway *gateway.Service
	router  *web.Router
	url     string
	link    string // of the first set-up; used by found
	owner   auth.Actor
	session string // token of the owner's session
}

// open makes a console that nobody has set up yet.
func open(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, pool: dbtest.New(t)}
	log := slog.New(slog.DiscardHandler)
	ctx := t.Context()
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "master.key"))
	ok(t, err)
	ok(t, auth.CheckKeyring(ctx, w.pool, ring))
	w.auth = auth.New(w.pool, ring, log, auth.Options{})
	w.catalog = catalog.New(w.pool)
	ok(t, w.catalog.Load(ctx))
	w.hub = events.New(log)
	cloud, err := mock.New(mock.Config{Dir: t.TempDir(), Log: log})
	ok(t, err)
	tunnels := tunnel.NewHub(func(uuid.UUID) {})
	t.Cleanup(tunnels.Close)
	instances, err := instance.New(ctx, instance.Config{
		Pool: w.pool, Keyring: ring, Catalog: deployable{w.catalog}, Providers: map[string]instance.Provider{"mock": cloud},
		Hub: tunnels, Events: w.hub, Log: log, AgentEndpoint: "127.0.0.1:1",
	})
	ok(t, err)
	gate, err := gateway.New(gateway.Config{
		Pool: w.pool, Keyring: ring, Keys: w.auth.Keys, Instances: nothing{}, Prices: nothing{}, Models: w.catalog, Accounts: w.auth, Events: w.hub,
		SpoolDir: t.TempDir(), Log: log,
	})
	ok(t, err)
	w.gateway = gate
	t.Cleanup(func() { ok(t, gate.Close(context.WithoutCancel(ctx))) })
	w.guard = auth.NewGuard(w.auth, "http://127.0.0.1")
	pages := console.New(console.Config{
		Auth: w.auth, Guard: w.guard, Catalog: w.catalog, Instances: instances, Finops: finops.New(w.pool, nothing{}), Gateway: gate,
		Events: w.hub, Loops: instances.Loops(), Providers: []string{"mock"}, PublicURL: "http://127.0.0.1", Version: "v1.2.3", Log: log,
	})
	w.router, err = web.New(web.Config{Log: log, PublicURL: "http://127.0.0.1", SignIn: console.SignIn, ErrorPage: pages.ErrorPage})
	ok(t, err)
	ok(t, pages.Register(w.router))
	handler, err := w.router.Handler()
	ok(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.link, err = w.auth.BootstrapAdmin(ctx, "ada@example.test", "")
	ok(t, err)
	return w
}

// setup makes a console with an owner who is signed in.
func setup(t *testing.T) *world {
	t.Helper()
	w := open(t)
	var err error
	w.session, err = w.auth.Redeem(t.Context(), w.link, password, "Atelier Nord", auth.Client{})
	ok(t, err)
	w.owner, err = w.auth.Authenticate(t.Context(), w.session)
	ok(t, err)
	return w
}

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

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

// as sends a request with a session. A form makes it a POST.
func (w *world) as(session, path string, form url.Values, headers ...string) reply {
	w.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, body)
	ok(w.t, err)
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if session != "" {
		req.AddCookie(w.guard.Cookies.Set(session))
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	ok(w.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	ok(w.t, err)
	return reply{res.StatusCode, res.Header, string(b)}
}

func (w *world) get(path string) reply { w.t.Helper(); return w.as(w.session, path, nil) }
func (w *world) post(path string, form url.Values) reply {
	w.t.Helper()
	return w.as(w.session, path, form)
}

// fields makes a form of names and values.
func fields(kv ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		v.Add(kv[i], kv[i+1])
	}
	return v
}

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
