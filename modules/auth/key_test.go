package auth_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func TestCreateKey_isShownOnceAndWorksAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k, text := b.key(b.owner, auth.ScopeInference)
	if !strings.HasPrefix(text, "sk-inv-"+k.PublicID+"-") || len(text) != 67 {
		t.Fatalf("the key has the form %q", text[:18]+"…")
	}
	p, err := b.Keys.Check(t.Context(), text)
	want := auth.Principal{KeyID: k.ID, UserID: b.owner.UserID, Organisation: b.owner.Organisation, Name: "test", Scopes: auth.ScopeInference}
	if err != nil || p != want {
		t.Errorf("Check = %+v, %v; want %+v", p, err, want)
	}
	secret := text[18:61]
	if n := b.count(`SELECT count(*) FROM auth.api_keys k WHERE k::text LIKE '%' || $1 || '%'`, secret); n != 0 {
		t.Error("the secret is in the table")
	}
	if n := b.count(`SELECT count(*) FROM auth.audit a WHERE a::text LIKE '%' || $1 || '%'`, secret); n != 0 {
		t.Error("the secret is in the audit")
	}
	list, err := b.ListKeys(t.Context(), b.owner)
	if err != nil || len(list) != 1 || list[0].ID != k.ID || list[0].Owner != adminEmail || list[0].State(time.Now()) != "active" || !list[0].CreatedAt.Equal(k.CreatedAt) {
		t.Errorf("ListKeys = %+v, %v", list, err)
	}
}

func TestCreateKey_B41_namesAreWhatTheyLookLike(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"", "  ", strings.Repeat("é", 101), "a\u202egnp.exe", "a\u2066b", "a\u200bb", "a\u2028b", "a\x00b", "a\x85b", "a\xffb", "\ufeffa"} {
		_, _, err := b.CreateKey(t.Context(), b.owner, name, auth.ScopeInference, time.Time{}, nil)
		is(t, err, fault.Invalid, "")
	}
	for name, want := range map[string]string{
		" demo ": "demo", "cafe\u0301": "café", "<script>": "<script>", "админ": "админ", "👩\u200d🔬 lab": "👩\u200d🔬 lab", "admin": "admin",
	} {
		k, _, err := b.CreateKey(t.Context(), b.owner, name, auth.ScopeInference, time.Time{}, nil)
		ok(t, err)
		if k.Name != want {
			t.Errorf("%q became %q, want %q", name, k.Name, want)
		}
	}
}

func TestCreateKey_refusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	auditor := b.join("auditor@example.test", auth.Auditor)
	create := func(by auth.Actor, name string, scopes auth.Scopes, expires time.Time) error {
		_, _, err := b.CreateKey(ctx, by, name, scopes, expires, nil)
		return err
	}
	is(t, create(b.owner, " ", auth.ScopeInference, time.Time{}), fault.Invalid, "")
	is(t, create(b.owner, strings.Repeat("é", 101), auth.ScopeInference, time.Time{}), fault.Invalid, "")
	is(t, create(b.owner, "two\nlines", auth.ScopeInference, time.Time{}), fault.Invalid, "")
	is(t, create(b.owner, "none", 0, time.Time{}), fault.Invalid, "")
	is(t, create(b.owner, "late", auth.ScopeInference, time.Now().Add(-time.Hour)), fault.Invalid, "")
	is(t, create(auditor, "no", auth.ScopeInference, time.Time{}), fault.Denied, "permission_denied")
	is(t, create(auth.Actor{}, "nobody", auth.ScopeInference, time.Time{}), fault.Denied, "no_organisation")
	ok(t, create(b.owner, strings.Repeat("é", 100), auth.ScopeInference, time.Time{}))

	// CVE-2026-47101: a key makes no key that is more than itself.
	_, text, err := b.CreateKey(ctx, b.owner, "parent", auth.ScopeAdmin, time.Now().Add(time.Hour), nil)
	ok(t, err)
	parent, err := b.AuthenticateKey(ctx, text, "192.0.2.1:4711", auth.ScopeAdmin)
	ok(t, err)
	err = create(parent, "wider", auth.ScopeInference, time.Now().Add(time.Minute*30))
	is(t, err, fault.Denied, "permission_denied")
	if f := fault.As(err); !strings.Contains(f.Text, "inference") || !strings.Contains(f.Fix, "in the console") {
		t.Errorf("it says %q, %q", f.Text, f.Fix)
	}
	is(t, create(parent, "longer", auth.ScopeAdmin, time.Now().Add(2*time.Hour)), fault.Denied, "key_outlives_parent")
	is(t, create(parent, "for ever", auth.ScopeAdmin, time.Time{}), fault.Denied, "key_outlives_parent")
	ok(t, create(parent, "child", auth.ScopeAdmin, time.Now().Add(30*time.Minute)))
	_, _, err = b.AddMember(ctx, parent, "mate@example.test", auth.Admin)
	is(t, err, fault.Denied, "cannot_grant_above_own") // nor an admin, although its owner may
}

func TestB02_malformedKeysAskNobody(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	b := setupOn(t, pool)
	table := b.Keys
	good := auth.NewAPIKey()
	before := pool.Stat().AcquireCount()
	for _, s := range []string{
		"", "sk-", "sk-inv-", "sk-nonsense", good[:66], good + "0", strings.ToUpper(good), " " + good, good + "\x00", good[:66] + "\x00",
		strings.Repeat("sk-inv-", 1200), "sk-inv-'; DROP TABLE auth.api_keys; --" + good[38:], strings.Replace(good, "-inv-", "-🔑-", 1),
	} {
		_, err := table.Check(t.Context(), s)
		is(t, err, fault.Signin, "malformed_api_key")
	}
	if n := pool.Stat().AcquireCount() - before; n != 0 {
		t.Errorf("the database was asked %d times", n)
	}
}

func TestB03_unknownAndWrongSecretAreTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, text := b.key(b.owner, auth.ScopeInference)
	wrong := wrongSecret(t, text)
	_, errUnknown := b.Keys.Check(t.Context(), auth.NewAPIKey())
	is(t, errUnknown, fault.Signin, "invalid_api_key")
	_, errWrong := b.Keys.Check(t.Context(), wrong)
	is(t, errWrong, fault.Signin, "invalid_api_key")
	if errUnknown.Error() != errWrong.Error() {
		t.Errorf("%q and %q", errUnknown, errWrong)
	}
}

// wrongSecret returns a well-formed key with the id of text and another secret.
func wrongSecret(t *testing.T, text string) string {
	t.Helper()
	return auth.Rekey(auth.NewAPIKey(), text)
}

func TestB05_eachStateHasItsAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	user := b.join("user@example.test", auth.User)
	revoked, revokedText := b.key(b.owner, auth.ScopeInference)
	_, expiredText := b.key(b.owner, auth.ScopeInference)
	_, suspendedText := b.key(user, auth.ScopeInference)
	ok(t, b.RevokeKey(ctx, b.owner, revoked.ID))
	ok(t, b.RevokeKey(ctx, b.owner, revoked.ID)) // again is no error
	b.exec(`UPDATE auth.api_keys SET expires_at = '2026-01-02 03:04:05Z' WHERE public_id = $1`, expiredText[7:17])
	ok(t, b.RemoveMember(ctx, b.owner, user.UserID))

	check := func(text string) error { _, err := b.Keys.Check(ctx, text); return err }
	is(t, check(revokedText), fault.Signin, "key_revoked")
	is(t, check(suspendedText), fault.Denied, "key_disabled")
	is(t, check(expiredText), fault.Signin, "key_expired")
	if err := check(expiredText); !strings.Contains(err.Error(), "Fri, 02 Jan 2026 03:04:05") {
		t.Errorf("the date is not told: %v", err)
	}
	for _, text := range []string{revokedText, suspendedText, expiredText} { // nothing is told to who has no secret
		is(t, check(wrongSecret(t, text)), fault.Signin, "invalid_api_key")
		_, err := b.AuthenticateKey(ctx, text, "192.0.2.1:4711", auth.ScopeInference)
		if fault.As(err) == nil {
			t.Errorf("the guard lets it in: %v", err)
		}
	}
	states := map[string]bool{}
	list, err := b.ListKeys(ctx, b.owner)
	ok(t, err)
	for _, k := range list {
		states[k.State(time.Now())] = true
	}
	if len(list) != 3 || !states["revoked"] || !states["expired"] || !states["suspended"] {
		t.Errorf("states = %v", states)
	}
}

// B22 for keys: another organisation's, another member's, nobody's.
func TestB22_keysOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	user := b.join("user@example.test", auth.User)
	eve := b.organisation("Elsewhere", "eve@example.test")
	mine, _ := b.key(b.owner, auth.ScopeInference)
	foreign, foreignText := b.key(eve, auth.ScopeInference)
	for _, id := range []uuid.UUID{mine.ID, foreign.ID, nobody} {
		is(t, b.RevokeKey(ctx, user, id), fault.NotFound, "")
	}
	is(t, b.RevokeKey(ctx, b.owner, foreign.ID), fault.NotFound, "")
	auditor := b.join("auditor@example.test", auth.Auditor)
	for who, want := range map[*auth.Actor]int{&user: 0, &auditor: 1, &b.owner: 1} {
		if names, err := b.KeyNames(ctx, *who); err != nil || len(names) != want || want == 1 && names[mine.ID] != (auth.KeyName{Name: "test", Owner: adminEmail}) {
			t.Errorf("a %s is told the names %v, %v; want %d", who.Role, names, err, want)
		}
	}
	_, err := b.KeyNames(ctx, auth.Actor{})
	is(t, err, fault.Denied, "no_organisation")
	if list, err := b.ListKeys(ctx, user); err != nil || len(list) != 0 {
		t.Errorf("a user sees %v, %v", list, err)
	}
	if list, err := b.ListKeys(ctx, b.owner); err != nil || len(list) != 1 || list[0].ID != mine.ID {
		t.Errorf("the owner sees %v, %v", list, err)
	}
	if p, err := b.Keys.Check(ctx, foreignText); err != nil || p.Organisation != eve.Organisation {
		t.Errorf("Check = %+v, %v", p, err)
	}
}

// A key follows its owner's role; a demotion takes what the role lost.
func TestKey_mayNoMoreThanItsOwnerNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	admin := b.join("admin@example.test", auth.Admin)
	_, text := b.key(admin, auth.ScopeAdmin|auth.ScopeInference)
	a, err := b.AuthenticateKey(ctx, text, "192.0.2.1:4711", auth.ScopeAdmin)
	if err != nil || !a.Can(auth.InstancesOperate) || a.PlatformAdmin || a.Ref() != "key:"+a.KeyID.String() {
		t.Fatalf("before = %+v, %v", a, err)
	}
	ok(t, b.ChangeRole(ctx, b.owner, admin.UserID, auth.Auditor))
	a, err = b.AuthenticateKey(ctx, text, "192.0.2.1:4711", auth.ScopeAdmin) // read anew: at once
	if err != nil || a.Can(auth.InstancesOperate) || !a.Can(auth.AuditView) {
		t.Errorf("after = %+v, %v", a, err)
	}
	stop := run(t, b.Keys)
	eventually(t, "the table knows", func() bool {
		p, err := b.Keys.Check(ctx, text)
		return err == nil && p.Scopes == auth.ScopeAdmin // an auditor may not call models
	})
	stop()
	_, err = b.AuthenticateKey(ctx, text, "192.0.2.1:4711", auth.ScopeInference)
	is(t, err, fault.Denied, "scope_missing")

	ok(t, b.RemoveMember(ctx, b.owner, admin.UserID))
	_, err = b.AuthenticateKey(ctx, text, "192.0.2.1:4711", auth.ScopeAdmin)
	if fault.As(err) == nil {
		t.Errorf("after the owner left: %v", err)
	}
	b.join("admin@example.test", auth.User) // a member who comes back has his keys back
	a, err = b.AuthenticateKey(ctx, text, "192.0.2.1:4711", auth.ScopeAdmin)
	if err != nil || a.Role != auth.User {
		t.Errorf("after the owner came back = %+v, %v", a, err)
	}
}

func errOf(_ auth.Principal, err error) error { return err }

func run(t *testing.T, table *auth.KeyTable) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); table.Run(ctx) }()
	once := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(once)
	return once
}

// A revocation reaches every replica in less than three seconds, even when no
// event comes: here nobody listens.
func TestRevokeKey_reachesAnotherReplicaByItsPoll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k, text := b.key(b.owner, auth.ScopeInference)
	replica := auth.NewKeyTable(b.pool, b.ring, slog.New(slog.DiscardHandler))
	run(t, replica)
	if _, err := replica.Check(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first poll", func() bool { return replica.Loops()[0].Status().Passes > 0 })
	begun := time.Now()
	ok(t, b.RevokeKey(t.Context(), b.owner, k.ID))
	eventually(t, "the replica refuses the key", func() bool {
		_, err := replica.Check(t.Context(), text)
		return fault.Is(err, fault.Signin)
	})
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %v, want less than 3 s", took)
	} else {
		t.Logf("revoked after %v", took)
	}
}

// Sequence values become visible out of order; our versions may not: a change
// that began first and commits last must not be missed.
func TestKeyTable_doesNotMissALateCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	late, lateText := b.key(b.owner, auth.ScopeInference)
	early, earlyText := b.key(b.owner, auth.ScopeInference)
	table := auth.NewKeyTable(b.pool, b.ring, slog.New(slog.DiscardHandler))
	poll := table.Loops()[0]
	look := func() { // one pass of the poll
		ctx, cancel := context.WithCancel(ctx)
		before := poll.Status().Passes
		done := make(chan struct{})
		go func() { defer close(done); poll.Run(ctx) }()
		eventually(t, "a pass", func() bool { return poll.Status().Passes > before })
		cancel()
		<-done
	}
	look()

	slow := make(chan struct{})
	finished := make(chan error, 2)
	locked := make(chan struct{})
	go func() {
		finished <- db.InTx(ctx, b.pool, func(tx pgx.Tx) error {
			if err := auth.RevokeIn(ctx, tx, late.ID); err != nil {
				return err
			}
			close(locked)
			<-slow // others have time to begin, commit and be polled
			return nil
		})
	}()
	<-locked
	go func() { finished <- b.RevokeKey(ctx, b.owner, early.ID) }()
	look()
	close(slow)
	ok(t, <-finished)
	ok(t, <-finished)
	look()
	for _, text := range []string{lateText, earlyText} {
		is(t, errOf(table.Check(ctx, text)), fault.Signin, "key_revoked")
	}
}

// A database restored from a backup has lower versions than the memory.
func TestKeyTable_readsAllAgainAfterARestore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, text := b.key(b.owner, auth.ScopeInference)
	if _, err := b.Keys.Check(ctx, text); err != nil {
		t.Fatal(err)
	}
	b.exec(`DELETE FROM auth.api_keys`)
	b.exec(`UPDATE auth.api_key_changes SET version = 0`)
	run(t, b.Keys)
	eventually(t, "the key is gone", func() bool { return fault.Is(errOf(b.Keys.Check(ctx, text)), fault.Signin) })
}

// A key made a moment ago by another replica is found, and a flood of unknown
// ones costs one read a second.
func TestCheck_unknownKeysShareOneReadASecond(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	replica := auth.NewKeyTable(b.pool, b.ring, slog.New(slog.DiscardHandler))
	is(t, errOf(replica.Check(ctx, auth.NewAPIKey())), fault.Signin, "invalid_api_key")
	before := b.pool.Stat().AcquireCount()
	_, text := b.key(b.owner, auth.ScopeInference)
	made := b.pool.Stat().AcquireCount() - before

	begun := time.Now()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() { is(t, errOf(replica.Check(ctx, auth.NewAPIKey())), fault.Signin, "invalid_api_key") })
	}
	wg.Go(func() { ok(t, errOf(replica.Check(ctx, text))) })
	wg.Wait()
	if reads := b.pool.Stat().AcquireCount() - before - made; reads > 4 { // two queries a read
		t.Errorf("201 keys cost %d queries", reads)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("they waited %v", took)
	}
}

// A key that nobody could look up in time is not called wrong: it may have been
// made a moment ago.
func TestF25_aSlowReadOfTheKeysIsNoVerdict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, text := b.key(b.owner, auth.ScopeInference)
	replica := auth.NewKeyTable(b.pool, b.ring, slog.New(slog.DiscardHandler))
	is(t, errOf(replica.Check(ctx, auth.NewAPIKey())), fault.Signin, "invalid_api_key") // it has read the table just now
	_, later := b.key(b.owner, auth.ScopeInference)
	ok(t, db.InTx(ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE auth.api_key_changes IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		is(t, errOf(replica.Check(ctx, later)), fault.Unavailable, "auth_unavailable")
		ok(t, errOf(replica.Check(ctx, text)))
		return nil
	}))
	eventually(t, "the key works", func() bool { return errOf(replica.Check(ctx, later)) == nil })
}

func TestFlush_writesLastUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k, text := b.key(b.owner, auth.ScopeInference)
	stop := run(t, b.Keys)
	begun := time.Now().Add(-time.Millisecond)
	ok(t, errOf(b.Keys.Check(t.Context(), text)))
	stop() // writes on the way out
	list, err := b.ListKeys(t.Context(), b.owner)
	ok(t, err)
	if at := list[0].LastUsedAt; at.Before(begun.Truncate(time.Millisecond)) || at.After(time.Now()) {
		t.Errorf("key %v was last used at %v, want now", k.ID, at)
	}
	b.exec(`UPDATE auth.api_keys SET last_used_at = now() + interval '1 hour'`)
	ok(t, auth.FlushUse(t.Context(), b.Keys, text, time.Now().Add(time.Minute)))
	if n := b.count(`SELECT count(*) FROM auth.api_keys WHERE last_used_at > now() + interval '50 minutes'`); n != 1 {
		t.Error("the last use went back in time")
	}
}

// D11: without the database known keys work for five minutes and unknown ones
// are neither let in nor called wrong.
func TestF25_keysWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	pool, err := db.Open(t.Context(), server.URL(), db.Options{MaxConns: 4, ConnectWait: 30 * time.Second})
	ok(t, err)
	t.Cleanup(pool.Close)
	b := setupOn(t, pool)
	ctx := t.Context()
	_, text := b.key(b.owner, auth.ScopeInference)
	ok(t, errOf(b.Keys.Check(ctx, text)))
	run(t, b.Keys)

	server.Stop()
	unknown := auth.NewAPIKey()
	eventually(t, "unknown keys cannot be judged", func() bool { return fault.Is(errOf(b.Keys.Check(ctx, unknown)), fault.Unavailable) })
	is(t, errOf(b.Keys.Check(ctx, unknown)), fault.Unavailable, "auth_unavailable")
	ok(t, errOf(b.Keys.Check(ctx, text)))
	b.Keys.SetTrust(time.Millisecond) // five minutes later
	late := errOf(b.Keys.Check(ctx, text))
	is(t, late, fault.Unavailable, "auth_unavailable")
	if f := fault.As(late); f == nil || !strings.Contains(f.Text, "database has been away for more than five minutes") {
		t.Errorf("the reason is not told: %v", late)
	}
	is(t, errOf(b.Keys.Check(ctx, "sk-nonsense")), fault.Signin, "malformed_api_key")

	server.Start()
	b.Keys.SetTrust(time.Minute)
	eventually(t, "the key works again", func() bool { return errOf(b.Keys.Check(ctx, text)) == nil })
	eventually(t, "unknown keys are unknown", func() bool { return fault.Is(errOf(b.Keys.Check(ctx, unknown)), fault.Signin) })
}

func TestCheck_allocatesNothing(t *testing.T) { //nolint:paralleltest // counts the allocations of the whole process
	b := setup(t)
	_, text := b.key(b.owner, auth.ScopeInference)
	ok(t, errOf(b.Keys.Check(t.Context(), text)))
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _, _ = b.Keys.Check(ctx, text) }); n != 0 && !raceDetector {
		t.Errorf("a good key costs %v allocations, want 0", n)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = b.Keys.Check(ctx, text[:66]) }); n != 0 {
		t.Errorf("a malformed key costs %v allocations, want 0", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	table, text := auth.TableOfOne(b.TempDir())
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := table.Check(ctx, text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
