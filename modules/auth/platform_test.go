package auth_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func newRing(t *testing.T) (*keyring.Ring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	ring, err := keyring.Create(path)
	ok(t, err)
	return ring, path
}

func TestCheckKeyring_refusesAnotherRingAndNamesTheKey(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	ctx := t.Context()
	if named, err := auth.KeyringNamed(ctx, pool); named || err != nil {
		t.Fatalf("KeyringNamed on an empty database = %v, %v", named, err)
	}
	ring, path := newRing(t)
	other, _ := newRing(t)
	ok(t, auth.CheckKeyring(ctx, pool, ring))
	ok(t, auth.CheckKeyring(ctx, pool, ring))
	if named, err := auth.KeyringNamed(ctx, pool); !named || err != nil {
		t.Errorf("KeyringNamed = %v, %v", named, err)
	}
	err := auth.CheckKeyring(ctx, pool, other)
	is(t, err, fault.Conflict, "master_key_missing")
	if !strings.Contains(err.Error(), ring.ID()) {
		t.Errorf("the missing key is not named: %v", err)
	}
	longer, err := keyring.Add(path)
	ok(t, err)
	ok(t, auth.CheckKeyring(ctx, pool, longer))
	is(t, auth.CheckKeyring(ctx, pool, ring), fault.Conflict, "master_key_missing") // the new key may have sealed something
}

func TestCheckKeyring_oneOfTwoRingsWins(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	var good atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		ring, _ := newRing(t)
		wg.Go(func() {
			if err := auth.CheckKeyring(t.Context(), pool, ring); err == nil {
				good.Add(1)
			} else {
				is(t, err, fault.Conflict, "master_key_missing")
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("%d rings were taken, want 1", good.Load())
	}
}

// A ring that got a key before its database was made still makes API keys.
func TestCreateKey_withAnOlderPepper(t *testing.T) {
	t.Parallel()
	_, path := newRing(t)
	ring, err := keyring.Add(path)
	ok(t, err)
	pool := dbtest.New(t)
	ok(t, auth.CheckKeyring(t.Context(), pool, ring))
	b := &bundle{Service: newService(pool, ring), t: t, pool: pool, ring: ring}
	link, err := b.BootstrapAdmin(t.Context(), adminEmail, "")
	ok(t, err)
	token, err := b.Redeem(t.Context(), link, goodPass, "", here)
	ok(t, err)
	_, text := b.key(b.actor(token), auth.ScopeInference)
	ok(t, errOf(b.Keys.Check(t.Context(), text)))
}

func TestB25_idempotency(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	user := b.join("user@example.test", auth.User)
	request := []byte("POST /api/v1/keys {}")

	for _, bad := range []string{"", strings.Repeat("k", 256)} {
		is(t, refused(b, b.owner, bad, request), fault.Invalid, "invalid_idempotency_key")
	}
	claim, _, replayed, err := b.Idempotency(ctx, b.owner, "k1", request)
	if err != nil || replayed {
		t.Fatalf("first = %v, %v", replayed, err)
	}
	is(t, refused(b, b.owner, "k1", request), fault.Conflict, "in_progress")
	is(t, refused(b, b.owner, "k1", []byte("POST /api/v1/keys {else}")), fault.Invalid, "idempotency_mismatch")

	answer := auth.Answer{Status: 201, ContentType: "application/json", Body: []byte(`{"key":"sk-inv-plain"}`)}
	ok(t, claim.Finish(ctx, answer))
	_, got, replayed, err := b.Idempotency(ctx, b.owner, "k1", request)
	if err != nil || !replayed || got.Status != 201 || got.ContentType != answer.ContentType || string(got.Body) != string(answer.Body) {
		t.Errorf("again = %+v, %v, %v", got, replayed, err)
	}
	if n := b.count(`SELECT count(*) FROM auth.idempotency WHERE position('sk-inv-plain'::bytea IN body) > 0`); n != 0 {
		t.Error("the answer is kept in the clear")
	}
	is(t, refused(b, user, "k1", request), fault.Invalid, "idempotency_mismatch") // another member must not be shown it
	eve := b.organisation("Elsewhere", "eve@example.test")
	if _, _, replayed, err := b.Idempotency(ctx, eve, "k1", request); replayed || err != nil {
		t.Errorf("another organisation: %v, %v", replayed, err)
	}
}

// refused asks and returns why that was refused.
func refused(b *bundle, by auth.Actor, key string, request []byte) error {
	_, _, _, err := b.Idempotency(b.t.Context(), by, key, request) //nolint:dogsled // the refusal is all that matters
	return err
}

func TestIdempotency_oneOfManyIsDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var claims atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := refused(b, b.owner, "k", []byte("r")); err == nil {
				claims.Add(1)
			} else {
				is(t, err, fault.Conflict, "in_progress")
			}
		})
	}
	wg.Wait()
	if claims.Load() != 1 {
		t.Errorf("%d claims, want 1", claims.Load())
	}
}

func TestIdempotency_aClaimEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	begin := func() (auth.Claim, bool) {
		t.Helper()
		c, _, replayed, err := b.Idempotency(ctx, b.owner, "k", []byte("r"))
		ok(t, err)
		return c, replayed
	}
	failed, _ := begin()
	ok(t, failed.Abandon(ctx)) // it may be tried again
	crashed, _ := begin()
	b.exec(`UPDATE auth.idempotency SET created_at = created_at - interval '6 minutes'`)
	second, _ := begin()
	ok(t, crashed.Finish(ctx, auth.Answer{Status: 500})) // too late: it changes nothing
	ok(t, crashed.Abandon(ctx))
	ok(t, second.Finish(ctx, auth.Answer{Status: 204}))
	if _, got, replayed, err := b.Idempotency(ctx, b.owner, "k", []byte("r")); err != nil || !replayed || got.Status != 204 {
		t.Errorf("kept = %+v, %v, %v", got, replayed, err)
	}
	b.exec(`UPDATE auth.idempotency SET created_at = created_at - interval '25 hours'`)
	if _, replayed := begin(); replayed {
		t.Error("an answer is kept for longer than a day")
	}
}

func TestSweep_deletesOnlyWhatIsOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	if n, err := b.Sweep(ctx); n != 0 || err != nil {
		t.Fatalf("Sweep = %d, %v; want nothing yet", n, err)
	}
	_, err := b.SignIn(ctx, adminEmail, otherPass, here)
	is(t, err, fault.Signin, "invalid_credentials")
	ok(t, refused(b, b.owner, "k", nil))
	b.exec(`UPDATE auth.sessions SET expires_at = now() - interval '31 days'`)
	b.exec(`UPDATE auth.tickets SET used_at = now() - interval '31 days'`)
	b.exec(`UPDATE auth.throttles SET last_at = now() - interval '2 days'`)
	b.exec(`UPDATE auth.idempotency SET created_at = now() - interval '2 days'`)
	n, err := b.Sweep(ctx)
	ok(t, err)
	if left := b.count(`SELECT (SELECT count(*) FROM auth.sessions) + (SELECT count(*) FROM auth.tickets)
	                        + (SELECT count(*) FROM auth.throttles) + (SELECT count(*) FROM auth.idempotency)`); left != 0 || n < 5 {
		t.Errorf("%d rows went, %d stayed", n, left)
	}
}

// The audit is kept for as long as was asked for, and for ever unless somebody did.
func TestSweep_auditIsKeptForItsDays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	old := func() int { return b.count(`SELECT count(*) FROM auth.audit WHERE action = 'old.line'`) }
	b.exec(`INSERT INTO auth.audit (actor, actor_name, action, object, at) SELECT 'system', 'inventiv', 'old.line', 'x', now() - interval '31 days'
	          FROM generate_series(1, 2500)`)
	b.exec(`UPDATE auth.audit SET id = DEFAULT WHERE action <> 'old.line'`) // as if written since
	kept := b.count(`SELECT count(*) FROM auth.audit`) - 2500
	for _, days := range []int{0, 32} {
		s := auth.New(b.pool, b.ring, slog.New(slog.DiscardHandler), auth.Options{AuditDays: days})
		if n, err := s.Sweep(ctx); n != 0 || err != nil || old() != 2500 {
			t.Errorf("kept for %d days: %d went, %d stayed, %v", days, n, old(), err)
		}
	}
	s := auth.New(b.pool, b.ring, slog.New(slog.DiscardHandler), auth.Options{AuditDays: 30})
	n, err := s.Sweep(ctx)
	if left := b.count(`SELECT count(*) FROM auth.audit`); n != 2500 || err != nil || old() != 0 || left != kept || kept == 0 {
		t.Errorf("%d went, %d stayed, %v; want 2500 and %d", n, left, err, kept)
	}
}

func TestOrganisations_onlyOperatorsMakeThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	owner := b.join("owner@example.test", auth.Owner)
	_, err := b.CreateOrganisation(ctx, owner, owner.UserID, "Mine", false)
	is(t, err, fault.Denied, "permission_denied")
	for name, slug := range map[string]string{"Atelier  Sud!": "atelier-sud", "Éclair": "clair", "a_b.c d": "a-b-c-d"} {
		o, err := b.CreateOrganisation(ctx, b.owner, b.owner.UserID, name, false)
		if err != nil || o.Slug != slug {
			t.Errorf("slug of %q = %q, %v; want %q", name, o.Slug, err, slug)
		}
	}
	again, err := b.CreateOrganisation(ctx, b.owner, b.owner.UserID, "Atelier Sud", false)
	if err != nil || !strings.HasPrefix(again.Slug, "atelier-sud-") {
		t.Errorf("a second one of that name = %+v, %v", again, err)
	}
	if o, err := b.CreateOrganisation(ctx, b.owner, b.owner.UserID, "工房", false); err != nil || !strings.HasPrefix(o.Slug, "org-") {
		t.Errorf("a name without letters of ours = %+v, %v", o, err)
	}
	_, err = b.CreateOrganisation(ctx, b.owner, b.owner.UserID, " ", false)
	is(t, err, fault.Invalid, "")
	if demo, err := b.IsDemo(ctx); demo || err != nil {
		t.Errorf("IsDemo = %v, %v", demo, err)
	}
}
