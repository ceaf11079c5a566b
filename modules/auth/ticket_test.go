package auth_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func TestBootstrapAdmin_hasNoPasswordUntilTheLinkIsUsed(t *testing.T) {
	t.Parallel()
	b := bare(t, dbtest.New(t))
	ctx := t.Context()
	link, err := b.BootstrapAdmin(ctx, " Ada@Example.test", "")
	ok(t, err)
	for _, guess := range []string{"", "admin", "password", "inventiv", link} {
		_, err := b.SignIn(ctx, adminEmail, guess, here)
		is(t, err, fault.Signin, "invalid_credentials")
	}
	b.exec(`DELETE FROM auth.throttles`)
	ticket, err := b.ReadTicket(ctx, link, here)
	if err != nil || ticket.Purpose != auth.Setup || ticket.Email != adminEmail || !ticket.Founds || ticket.HasPassword {
		t.Errorf("ReadTicket = %+v, %v", ticket, err)
	}
	again, err := b.BootstrapAdmin(ctx, "other@example.test", "") // a restart shows another link
	if err != nil || again == "" || again == link {
		t.Fatalf("second start: %q, %v", again, err)
	}
	is1 := func(n int, sql string) {
		t.Helper()
		if got := b.count(sql); got != n {
			t.Errorf("%s = %d, want %d", sql, got, n)
		}
	}
	is1(1, `SELECT count(*) FROM auth.users`)
	token, err := b.Redeem(ctx, link, goodPass, "", here)
	ok(t, err)
	if a := b.actor(token); !a.PlatformAdmin || a.Role != auth.Owner {
		t.Errorf("first operator = %+v", a)
	}
	is1(1, `SELECT count(*) FROM auth.organisations WHERE slug = 'my-organisation'`)
	_, err = b.Redeem(ctx, again, otherPass, "", here) // the other link died with the first
	is(t, err, fault.NotFound, "setup_done")
	none, err := b.BootstrapAdmin(ctx, adminEmail, otherPass) // nor does a password file change anything now
	if err != nil || none != "" {
		t.Errorf("after set-up: %q, %v", none, err)
	}
	_, err = b.SignIn(ctx, adminEmail, goodPass, here)
	ok(t, err)
}

func TestBootstrapAdmin_takesAGoodPassword(t *testing.T) {
	t.Parallel()
	b := bare(t, dbtest.New(t))
	_, err := b.BootstrapAdmin(t.Context(), adminEmail, "admin")
	is(t, err, fault.Invalid, "weak_password")
	link, err := b.BootstrapAdmin(t.Context(), adminEmail, goodPass)
	if err != nil || link != "" {
		t.Fatalf("BootstrapAdmin = %q, %v", link, err)
	}
	_, err = b.SignIn(t.Context(), adminEmail, goodPass, here)
	ok(t, err)
}

func TestBootstrapAdmin_twoProcessesMakeOne(t *testing.T) {
	t.Parallel()
	b := bare(t, dbtest.New(t))
	var wg sync.WaitGroup
	for _, email := range []string{adminEmail, adminEmail, "else@example.test", "else@example.test"} {
		wg.Go(func() {
			if link, err := newService(b.pool, b.ring).BootstrapAdmin(t.Context(), email, ""); err != nil || link == "" {
				t.Errorf("BootstrapAdmin = %q, %v", link, err)
			}
		})
	}
	wg.Wait()
	if n := b.count(`SELECT count(*) FROM auth.users`); n != 1 {
		t.Errorf("%d operators, want 1", n)
	}
}

func TestB19_aLinkThatWasUsedIsTooOldOrWasGuessed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	used, _, err := b.SetupLink(ctx, "")
	ok(t, err)
	_, err = b.Redeem(ctx, used, otherPass, "", here)
	ok(t, err)
	old, address, err := b.SetupLink(ctx, adminEmail)
	if err != nil || address != adminEmail {
		t.Fatalf("SetupLink = %q, %v", address, err)
	}
	b.exec(`UPDATE auth.tickets SET expires_at = now() - interval '1 second' WHERE used_at IS NULL`)
	before := b.count(`SELECT count(*) FROM auth.audit WHERE action = 'link.refuse' AND ip = $1`, here.IP)
	var texts []string
	for _, link := range []string{used, old, "guessed", ""} {
		_, err := b.ReadTicket(ctx, link, here)
		is(t, err, fault.NotFound, "setup_done")
		texts = append(texts, err.Error())
		_, err = b.Redeem(ctx, link, goodPass, "", here)
		is(t, err, fault.NotFound, "setup_done")
		texts = append(texts, fault.As(err).Text)
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("texts differ: %q", texts)
		}
	}
	if n := b.count(`SELECT count(*) FROM auth.audit WHERE action = 'link.refuse' AND ip = $1`, here.IP) - before; n != 8 {
		t.Errorf("%d of 8 attempts are in the audit", n)
	}
	for range 40 {
		if _, err = b.ReadTicket(ctx, "guessed", here); fault.Is(err, fault.Throttled) {
			return
		}
	}
	t.Error("guessing is not slowed down")
}

func TestRedeem_worksOnceHoweverManyTry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	link, _, err := b.SetupLink(t.Context(), "")
	ok(t, err)
	var good atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := b.Redeem(t.Context(), link, otherPass, "", here)
			if err == nil {
				good.Add(1)
			} else {
				is(t, err, fault.NotFound, "setup_done")
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("the link worked %d times", good.Load())
	}
}

// A refused password leaves the link as it was.
func TestRedeem_aBadPasswordDoesNotUseTheLink(t *testing.T) {
	t.Parallel()
	b := setup(t)
	link, _, err := b.SetupLink(t.Context(), "")
	ok(t, err)
	_, err = b.Redeem(t.Context(), link, "password1234", "", here)
	is(t, err, fault.Invalid, "weak_password")
	_, err = b.Redeem(t.Context(), link, otherPass, "", here)
	ok(t, err)
}

// Defect 20: a reset left the sessions alive and wrote its token to the log.
func TestReset_endsEverySession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	link, _, err := b.SetupLink(ctx, adminEmail)
	ok(t, err)
	b.actor(b.token) // asking for a link changes nothing
	fresh, err := b.Redeem(ctx, link, otherPass, "", here)
	ok(t, err)
	_, err = b.Authenticate(ctx, b.token)
	is(t, err, fault.Signin, "session_ended")
	b.actor(fresh)

	ok(t, b.ResetPassword(ctx, "", goodPass))
	_, err = b.Authenticate(ctx, fresh)
	is(t, err, fault.Signin, "session_ended")
	_, err = b.SignIn(ctx, adminEmail, goodPass, here)
	ok(t, err)
	is(t, b.ResetPassword(ctx, "who@example.test", goodPass), fault.NotFound, "")
	_, _, err = b.SetupLink(ctx, "who@example.test")
	is(t, err, fault.NotFound, "")
	if n := b.count(`SELECT count(*) FROM auth.audit a WHERE a::text LIKE '%' || $1 || '%'`, link); n != 0 {
		t.Error("the link's token is in the audit")
	}
}

// Defect 18: nulls made the constraint on pending invitations ineffective.
func TestAddMember_oneInvitationOfAnAddressIsPending(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	links := make([]string, 6)
	var wg sync.WaitGroup
	for i := range links {
		wg.Go(func() {
			var err error
			if _, links[i], err = b.AddMember(ctx, b.owner, "Bo@example.test", auth.User); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := b.Invitations(ctx, b.owner); err != nil || len(list) != 1 || list[0].Email != "bo@example.test" || list[0].InvitedBy != adminEmail {
		t.Fatalf("Invitations = %+v, %v", list, err)
	}
	good := 0
	for _, link := range links {
		if _, err := b.ReadTicket(ctx, link, here); err == nil {
			good++
		}
	}
	if good != 1 {
		t.Errorf("%d links work, want the last one", good)
	}
	if n := len(members(b)); n != 1 {
		t.Errorf("%d members before anybody opened a link", n)
	}
	b.exec(`UPDATE auth.tickets SET expires_at = now() - interval '1 day'`)
	bo := b.join("bo@example.test", auth.User) // one that has expired is not in the way
	_, _, err := b.AddMember(ctx, b.owner, "bo@example.test", auth.User)
	is(t, err, fault.Conflict, "already_member")
	if bo.Role != auth.User || bo.PlatformAdmin { // defect 19: new users were admins
		t.Errorf("a new member = %+v", bo)
	}
}

func TestWithdrawInvitation_killsTheLink(t *testing.T) {
	t.Parallel()
	b := setup(t)
	invitation, link, err := b.AddMember(t.Context(), b.owner, "bo@example.test", auth.User)
	ok(t, err)
	ok(t, b.WithdrawInvitation(t.Context(), b.owner, invitation.ID))
	is(t, b.WithdrawInvitation(t.Context(), b.owner, invitation.ID), fault.NotFound, "")
	_, err = b.Redeem(t.Context(), link, goodPass, "", here)
	is(t, err, fault.NotFound, "setup_done")
}

// Whoever makes an invitation holds its link: it must not open an account that
// is there, nor choose the password of one that is being set up.
func TestInvitation_doesNotOpenSomebodysAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	eve := b.organisation("Elsewhere", "eve@example.test")
	_, link, err := b.AddMember(ctx, eve, adminEmail, auth.User)
	ok(t, err)
	_, err = b.Redeem(ctx, link, otherPass, "", here)
	is(t, err, fault.Signin, "invalid_credentials")
	if ticket, err := b.ReadTicket(ctx, link, here); err != nil || !ticket.HasPassword || ticket.Organisation != "Elsewhere" || ticket.Role != auth.User {
		t.Errorf("ReadTicket = %+v, %v", ticket, err)
	}
	token, err := b.Redeem(ctx, link, goodPass, "", here) // its owner may take it up
	ok(t, err)
	if a := b.actor(token); a.UserID != b.owner.UserID || a.Organisation != eve.Organisation || a.Role != auth.User {
		t.Errorf("after joining = %+v", a)
	}
	_, err = b.SignIn(ctx, adminEmail, goodPass, here) // and keeps his password
	ok(t, err)

	b.exec(`INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'pending@example.test')`)
	_, link, err = b.AddMember(ctx, eve, "pending@example.test", auth.User)
	ok(t, err)
	_, err = b.Redeem(ctx, link, goodPass, "", here)
	is(t, err, fault.Conflict, "setup_pending")
}

func TestInvitation_isVoidWhenItsMakerMayNoLongerGrant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	admin := b.join("admin@example.test", auth.Admin)
	_, link, err := b.AddMember(ctx, admin, "new@example.test", auth.User)
	ok(t, err)
	ok(t, b.ChangeRole(ctx, b.owner, admin.UserID, auth.User))
	_, err = b.Redeem(ctx, link, goodPass, "", here)
	is(t, err, fault.NotFound, "setup_done")
	if n := b.count(`SELECT count(*) FROM auth.users WHERE email = 'new@example.test'`); n != 0 {
		t.Error("a user was left behind")
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "short", "elevenchars", "passwordpassword", "Password1234!", "P@ssw0rd1234", "motdepasse2026", "aaaaaaaaaaaa", "123456789012",
		"qwertyuiop12", "abababababab", "inventiv2026!", "ada@example.test", "Ada.Example-1", "            ", string(make([]byte, 1025)),
	} {
		is(t, auth.CheckPassword(bad, adminEmail), fault.Invalid, "weak_password")
	}
	for _, good := range []string{goodPass, otherPass, "xK9#vLq2$mWp", "пароль-из-трёх-слов", "correct horse battery staple", "passwordvhfiewzqx"} {
		if err := auth.CheckPassword(good, adminEmail); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
}
