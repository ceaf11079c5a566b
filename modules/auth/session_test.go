package auth_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func TestSignIn_beginsASessionWhoseTokenIsNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token, err := b.SignIn(t.Context(), " ADA@Example.test ", goodPass, here)
	ok(t, err)
	a := b.actor(token)
	if a.UserID != b.owner.UserID || a.Role != auth.Owner || a.Organisation != b.owner.Organisation || !a.PlatformAdmin || a.Name != adminEmail {
		t.Errorf("actor = %+v", a)
	}
	if n := b.count(`SELECT count(*) FROM auth.sessions s WHERE s::text LIKE '%' || $1 || '%'`, token); n != 0 {
		t.Error("the token is in the table")
	}
	if n := b.count(`SELECT count(*) FROM auth.users u WHERE u.password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'`); n != 1 {
		t.Error("the password is not argon2id with the agreed cost")
	}
}

// ASVS 6.3.8: nothing tells an unknown address from a wrong password.
func TestSignIn_saysTheSameOfAnUnknownUserAfterTheSameWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO auth.users (id, email, password_hash, disabled_at) SELECT gen_random_uuid(), 'gone@example.test', password_hash, now() FROM auth.users`)
	var texts []string
	for _, email := range []string{adminEmail, "nobody@example.test", "gone@example.test", "not an address", ""} {
		before := auth.Hashes(b.Service)
		_, err := b.SignIn(t.Context(), email, otherPass, here)
		is(t, err, fault.Signin, "invalid_credentials")
		texts = append(texts, err.Error())
		if n := auth.Hashes(b.Service) - before; n != 1 { // hashing takes nearly all of the time
			t.Errorf("%q was refused after %d hashes, want 1", email, n)
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("texts differ: %q", texts)
		}
	}
	// The same work is written, too, and nothing that was typed.
	if n := b.count(`SELECT count(*) FROM auth.audit WHERE action = 'session.refuse'`); n != len(texts) {
		t.Errorf("%d attempts left %d lines of audit", len(texts), n)
	}
	if n := b.count(`SELECT count(*) FROM auth.audit a WHERE a::text LIKE '%nobody@%' OR a::text LIKE '%not an address%'`); n != 0 {
		t.Error("what was typed is kept")
	}
}

func TestAuthenticate_endsIdleOldAndEndedSessions(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"idle":     `UPDATE auth.sessions SET last_seen_at = now() - interval '61 minutes'`,
		"absolute": `UPDATE auth.sessions SET expires_at = now() - interval '1 second'`,
		"revoked":  `UPDATE auth.sessions SET revoked_at = now()`,
		"disabled": `UPDATE auth.users SET disabled_at = now()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(sql)
			_, err := b.Authenticate(t.Context(), b.token)
			is(t, err, fault.Signin, "session_ended")
			for _, bad := range []string{"", "x", b.token + "A"} {
				_, err := b.Authenticate(t.Context(), bad)
				is(t, err, fault.Signin, "session_ended")
			}
		})
	}
}

func TestPeek_doesNotKeepASessionAwake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`UPDATE auth.sessions SET last_seen_at = now() - interval '30 minutes'`)
	recent := `SELECT count(*) FROM auth.sessions WHERE last_seen_at > now() - interval '1 minute'`
	_, err := b.Peek(t.Context(), b.token)
	ok(t, err)
	if b.count(recent) != 0 {
		t.Error("a stream counted as use")
	}
	b.actor(b.token)
	if b.count(recent) != 1 {
		t.Error("use did not count")
	}
}

// D5, defect of the original: the role was in a token for twelve hours.
func TestAuthenticate_roleIsTheOneOfNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token := b.joinAs(b.owner, "bo@example.test", auth.Admin)
	bo := b.actor(token)
	if !bo.Can(auth.InstancesOperate) || bo.PlatformAdmin {
		t.Fatalf("a new admin = %+v", bo)
	}
	ok(t, b.ChangeRole(t.Context(), b.owner, bo.UserID, auth.User))
	if now := b.actor(token); now.Role != auth.User || now.Can(auth.InstancesOperate) {
		t.Errorf("after a demotion = %+v", now)
	}
	ok(t, b.RemoveMember(t.Context(), b.owner, bo.UserID))
	now := b.actor(token)
	if now.Can(auth.ModelsView) {
		t.Errorf("after a removal = %+v", now)
	}
	is(t, auth.Need(now, auth.ModelsView), fault.Denied, "no_organisation")
}

// Defect 17: creating an organisation wrote to a column that was gone, and the
// choice was one for all tabs.
func TestSwitchOrganisation_isOfOneSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	second, err := b.CreateOrganisation(t.Context(), b.owner, b.owner.UserID, "Atelier Sud", false)
	ok(t, err)
	other, err := b.SignIn(t.Context(), adminEmail, goodPass, here)
	ok(t, err)
	ok(t, b.SwitchOrganisation(t.Context(), b.owner, second.ID))
	if got := b.actor(b.token).Organisation; got != second.ID {
		t.Errorf("this session is in %v, want %v", got, second.ID)
	}
	if got := b.actor(other).Organisation; got != b.owner.Organisation {
		t.Errorf("another session is in %v, want %v", got, b.owner.Organisation)
	}
	orgs, err := b.Organisations(t.Context(), b.owner)
	if err != nil || len(orgs) != 2 || orgs[1].Slug != "atelier-sud" || orgs[1].Role != auth.Owner {
		t.Errorf("Organisations = %+v, %v", orgs, err)
	}
	stranger := b.join("bo@example.test", auth.User)
	is(t, b.SwitchOrganisation(t.Context(), stranger, second.ID), fault.NotFound, "")
	is(t, b.SwitchOrganisation(t.Context(), stranger, nobody), fault.NotFound, "")
}

func TestChangePassword_endsTheOtherSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	other, err := b.SignIn(ctx, adminEmail, goodPass, here)
	ok(t, err)
	is(t, b.ChangePassword(ctx, b.owner, otherPass, otherPass), fault.Denied, "invalid_credentials")
	is(t, b.ChangePassword(ctx, b.owner, goodPass, "short"), fault.Invalid, "weak_password")
	b.actor(other) // nothing happened so far

	ok(t, b.ChangePassword(ctx, b.owner, goodPass, otherPass))
	b.actor(b.token)
	_, err = b.Authenticate(ctx, other)
	is(t, err, fault.Signin, "session_ended")
	_, err = b.SignIn(ctx, adminEmail, goodPass, here)
	is(t, err, fault.Signin, "invalid_credentials")
	_, err = b.SignIn(ctx, adminEmail, otherPass, here)
	ok(t, err)
}

func TestSessions_ownOnlyAndTenAtMost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bo := b.join("bo@example.test", auth.User)
	for range 10 { // beside the one of the set-up
		_, err := b.SignIn(t.Context(), adminEmail, goodPass, here)
		ok(t, err)
	}
	list, err := b.Sessions(t.Context(), b.owner)
	if err != nil || len(list) != 10 {
		t.Fatalf("%d sessions, %v; want 10", len(list), err)
	}
	_, err = b.Authenticate(t.Context(), b.token)
	is(t, err, fault.Signin, "session_ended") // the one that was used longest ago

	is(t, b.EndSession(t.Context(), bo, list[0].ID), fault.NotFound, "")
	ok(t, b.EndSession(t.Context(), b.owner, list[0].ID))
	is(t, b.EndSession(t.Context(), b.owner, list[0].ID), fault.NotFound, "")
	ok(t, b.SignOut(t.Context(), bo))
	if list, err := b.Sessions(t.Context(), bo); err != nil || len(list) != 0 {
		t.Errorf("after signing out: %v, %v", list, err)
	}
}

// A burst must not get more guesses than a patient attacker: attempts are
// counted before the password is looked at.
func TestSignIn_throttlesABurst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var looked, throttled atomic.Int64
	var wg sync.WaitGroup
	for i := range 18 {
		wg.Go(func() {
			_, err := b.SignIn(t.Context(), adminEmail, otherPass, auth.Client{IP: "198.51.100." + strconv.Itoa(i)})
			switch {
			case fault.Is(err, fault.Signin):
				looked.Add(1)
			case fault.Is(err, fault.Throttled):
				throttled.Add(1)
			default:
				t.Errorf("SignIn = %v", err)
			}
		})
	}
	wg.Wait()
	if looked.Load() > 7 || throttled.Load() == 0 { // five are free; a second may have gone by
		t.Errorf("%d guesses were looked at, %d throttled", looked.Load(), throttled.Load())
	}
}

func TestSignIn_throttleGrowsAndIsNeverForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere := auth.Client{IP: "2001:db8:1:2::9"}
	wait := func() float64 {
		var secs float64
		ok(t, b.pool.QueryRow(t.Context(), `SELECT extract(epoch FROM blocked_until - last_at) FROM auth.throttles WHERE key LIKE 'account:%'`).Scan(&secs))
		return secs
	}
	var waits []float64
	for range 18 {
		_, err := b.SignIn(t.Context(), adminEmail, otherPass, elsewhere)
		is(t, err, fault.Signin, "invalid_credentials")
		waits = append(waits, wait())
		b.exec(`UPDATE auth.throttles SET blocked_until = 'epoch'`) // the wait is over
	}
	if waits[4] > 0 || waits[5] != 1 || waits[6] != 2 || waits[7] != 4 || waits[17] != 900 {
		t.Errorf("waits = %.1f", waits)
	}
	_, err := b.SignIn(t.Context(), adminEmail, otherPass, elsewhere)
	is(t, err, fault.Signin, "invalid_credentials")
	_, err = b.SignIn(t.Context(), adminEmail, goodPass, elsewhere)
	is(t, err, fault.Throttled, "sign_in_throttled") // even the right one, from there

	_, err = b.SignIn(t.Context(), adminEmail, goodPass, here) // but not from where the user is known
	ok(t, err)
	b.exec(`UPDATE auth.throttles SET blocked_until = 'epoch'`)
	_, err = b.SignIn(t.Context(), adminEmail, goodPass, elsewhere)
	ok(t, err)
	if n := b.count(`SELECT count(*) FROM auth.throttles WHERE key LIKE 'account:%'`); n != 0 {
		t.Error("a good sign-in does not forget the attempts")
	}
}

func TestSignIn_throttlesAnAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`DELETE FROM auth.throttles`)
	refused := 0
	for i := range 25 { // a subscriber's /64 is one address
		_, err := b.SignIn(t.Context(), strconv.Itoa(i)+"@example.test", otherPass, auth.Client{IP: "2001:db8:1:2::" + strconv.Itoa(i)})
		if fault.Is(err, fault.Throttled) {
			refused++
		}
	}
	if refused != 5 {
		t.Errorf("%d of 25 were refused, want 5", refused)
	}
	_, err := b.SignIn(t.Context(), adminEmail, goodPass, auth.Client{IP: "2001:db8:1:3::1"})
	ok(t, err)
}

func TestSignIn_renewsAHashOfAnotherCost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// "violet tractor under nine bridges" with m=8 MiB, t=1.
	b.exec(`UPDATE auth.users SET password_hash = $1`, auth.WeakHash(goodPass))
	_, err := b.SignIn(t.Context(), adminEmail, otherPass, here)
	is(t, err, fault.Signin, "invalid_credentials")
	_, err = b.SignIn(t.Context(), adminEmail, goodPass, here)
	ok(t, err)
	if b.count(`SELECT count(*) FROM auth.users WHERE password_hash LIKE '%m=19456,t=2,p=1%'`) != 1 {
		t.Error("the hash was not renewed")
	}
	_, err = b.SignIn(t.Context(), adminEmail, goodPass, here)
	ok(t, err)
}
