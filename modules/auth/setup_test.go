package auth_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

const (
	adminEmail = "ada@example.test"
	goodPass   = "violet tractor under nine bridges"
	otherPass  = "gravel orchid humming at dusk"
)

var here = auth.Client{IP: "192.0.2.7", UserAgent: "test"}

// bundle is one platform with one organisation and its owner.
type bundle struct {
	*auth.Service
	t     *testing.T
	pool  *pgxpool.Pool
	ring  *keyring.Ring
	owner auth.Actor // also the platform's operator
	token string     // of the owner's session
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return setupOn(t, dbtest.New(t))
}

func setupOn(t *testing.T, pool *pgxpool.Pool) *bundle {
	t.Helper()
	b := bare(t, pool)
	link, err := b.BootstrapAdmin(t.Context(), adminEmail, "")
	ok(t, err)
	b.token, err = b.Redeem(t.Context(), link, goodPass, "Atelier Nord", here)
	ok(t, err)
	b.owner = b.actor(b.token)
	return b
}

// bare is a platform without anybody.
func bare(t *testing.T, pool *pgxpool.Pool) *bundle {
	t.Helper()
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "master.key"))
	ok(t, err)
	ok(t, auth.CheckKeyring(t.Context(), pool, ring))
	return &bundle{Service: newService(pool, ring), t: t, pool: pool, ring: ring}
}

func newService(pool *pgxpool.Pool, ring *keyring.Ring) *auth.Service {
	return auth.New(pool, ring, slog.New(slog.DiscardHandler), auth.Options{})
}

func (b *bundle) actor(token string) auth.Actor {
	b.t.Helper()
	a, err := b.Authenticate(b.t.Context(), token)
	ok(b.t, err)
	return a
}

// join makes a new member of the owner's organisation and signs him in.
func (b *bundle) join(email string, role auth.Role) auth.Actor {
	b.t.Helper()
	return b.actor(b.joinAs(b.owner, email, role))
}

func (b *bundle) joinAs(by auth.Actor, email string, role auth.Role) (token string) {
	b.t.Helper()
	_, link, err := b.AddMember(b.t.Context(), by, email, role)
	ok(b.t, err)
	token, err = b.Redeem(b.t.Context(), link, goodPass, "", here)
	ok(b.t, err)
	return token
}

// organisation makes another organisation with an owner of its own.
func (b *bundle) organisation(name, email string) auth.Actor {
	b.t.Helper()
	o, err := b.CreateOrganisation(b.t.Context(), b.owner, b.owner.UserID, name, false)
	ok(b.t, err)
	there := b.owner
	there.Organisation = o.ID
	token := b.joinAs(there, email, auth.Owner)
	ok(b.t, b.RemoveMember(b.t.Context(), there, there.UserID))
	return b.actor(token)
}

func (b *bundle) key(by auth.Actor, scopes auth.Scopes) (auth.Key, string) {
	b.t.Helper()
	k, text, err := b.CreateKey(b.t.Context(), by, "test", scopes, time.Time{}, nil)
	ok(b.t, err)
	return k, text
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), sql, args...)
	ok(b.t, err)
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	ok(b.t, b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&n))
	return n
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is fails unless err is a fault with the code and the kind.
func is(t testing.TB, err error, code fault.Code, kind string) {
	t.Helper()
	f := fault.As(err)
	if f == nil || f.Code != code || f.Kind != kind {
		t.Errorf("err = %v (%+v), want a fault %s of kind %q", err, f, code, kind)
	}
}

// eventually polls until done, for ten seconds at most.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

var nobody = uuid.MustParse("00000000-0000-7000-8000-000000000000")
