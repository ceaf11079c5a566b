package auth_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func TestB28_ownersAndGrants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	admin := b.join("admin@example.test", auth.Admin)
	second := b.join("second@example.test", auth.Admin)
	user := b.join("user@example.test", auth.User)

	is(t, b.ChangeRole(ctx, b.owner, b.owner.UserID, auth.Admin), fault.Conflict, "last_owner")
	is(t, b.RemoveMember(ctx, b.owner, b.owner.UserID), fault.Conflict, "last_owner")
	for name, err := range map[string]error{
		"admin grants owner":           b.ChangeRole(ctx, admin, user.UserID, auth.Owner),
		"admin grants admin":           b.ChangeRole(ctx, admin, user.UserID, auth.Admin),
		"admin invites an admin":       errAdd(b.AddMember(ctx, admin, "new@example.test", auth.Admin)),
		"admin changes himself":        b.ChangeRole(ctx, admin, admin.UserID, auth.Owner),
		"admin demotes another admin":  b.ChangeRole(ctx, admin, second.UserID, auth.User),
		"admin removes another admin":  b.RemoveMember(ctx, admin, second.UserID),
		"admin removes the owner":      b.RemoveMember(ctx, admin, b.owner.UserID),
		"admin demotes the last owner": b.ChangeRole(ctx, admin, user.UserID, auth.Owner),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is(t, err, fault.Denied, "cannot_grant_above_own")
		})
	}
	_, _, err := b.AddMember(ctx, admin, "new@example.test", auth.Owner)
	is(t, err, fault.Denied, "cannot_grant_above_own")
	_, _, err = b.AddMember(ctx, user, "new@example.test", auth.User)
	is(t, err, fault.Denied, "permission_denied")
	is(t, b.ChangeRole(ctx, user, user.UserID, auth.Owner), fault.Denied, "permission_denied")
	is(t, b.ChangeRole(ctx, b.owner, user.UserID, "root"), fault.Invalid, "")

	ok(t, b.ChangeRole(ctx, admin, user.UserID, auth.Manager))
	manager := b.joinAs(admin, "manager@example.test", auth.Manager)
	_, _, err = b.AddMember(ctx, b.actor(manager), "new@example.test", auth.User)
	is(t, err, fault.Denied, "permission_denied")
	ok(t, b.RemoveMember(ctx, admin, b.actor(manager).UserID))
	ok(t, b.ChangeRole(ctx, admin, user.UserID, auth.Auditor))
	ok(t, b.ChangeRole(ctx, b.owner, admin.UserID, auth.Owner))
	ok(t, b.ChangeRole(ctx, b.owner, b.owner.UserID, auth.User)) // there is another owner now
	ok(t, b.RemoveMember(ctx, user, user.UserID))                // anybody may leave
	is(t, b.RemoveMember(ctx, user, user.UserID), fault.NotFound, "")
}

func errAdd(_ auth.Invitation, _ string, err error) error { return err }

// The rule holds under a lock: two owners who demote each other at once.
func TestChangeRole_oneOfTwoOwnersStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 8 {
		other := b.owner
		for _, m := range members(b) {
			if m.UserID != b.owner.UserID {
				other.UserID = m.UserID
			}
		}
		if other.UserID == b.owner.UserID {
			other = b.join("bo@example.test", auth.Owner)
		}
		b.exec(`UPDATE auth.memberships SET role = 'owner'`)
		var good atomic.Int64
		var wg sync.WaitGroup
		for _, pair := range [][2]uuid.UUID{{b.owner.UserID, other.UserID}, {other.UserID, b.owner.UserID}} {
			wg.Go(func() {
				by := b.owner
				by.UserID = pair[0]
				if b.ChangeRole(t.Context(), by, pair[1], auth.User) == nil {
					good.Add(1)
				}
			})
			wg.Go(func() {
				by := b.owner
				by.UserID = pair[0]
				if b.ChangeRole(t.Context(), by, pair[0], auth.Admin) == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if n := b.count(`SELECT count(*) FROM auth.memberships WHERE role = 'owner'`); n != 1 || good.Load() == 0 {
			t.Fatalf("%d owners after %d changes, want one owner", n, good.Load())
		}
	}
}

func members(b *bundle) []auth.Member {
	list, err := b.Members(b.t.Context(), b.owner)
	ok(b.t, err)
	return list
}

// B22: another organisation's, nobody's and a former member are the same.
func TestB22_membersOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	stranger := b.organisation("Elsewhere", "eve@example.test")
	gone := b.join("gone@example.test", auth.User)
	ok(t, b.RemoveMember(ctx, b.owner, gone.UserID))
	invitation, _, err := b.AddMember(ctx, stranger, "new@example.test", auth.User)
	ok(t, err)

	var texts []string
	for _, id := range []uuid.UUID{stranger.UserID, nobody, gone.UserID} {
		for _, err := range []error{b.ChangeRole(ctx, b.owner, id, auth.User), b.RemoveMember(ctx, b.owner, id)} {
			is(t, err, fault.NotFound, "")
			texts = append(texts, fault.As(err).Text)
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("answers differ: %q", texts)
		}
	}
	is(t, b.WithdrawInvitation(ctx, b.owner, invitation.ID), fault.NotFound, "")
	if got := members(b); len(got) != 1 || got[0].Email != adminEmail {
		t.Errorf("members = %+v", got)
	}
	if list, err := b.Invitations(ctx, b.owner); err != nil || len(list) != 0 {
		t.Errorf("invitations = %+v, %v", list, err)
	}
	if entries, err := b.AuditPage(ctx, stranger, 0, 100); err != nil || len(entries) == 0 {
		t.Errorf("audit = %v, %v", entries, err)
	} else {
		for _, e := range entries {
			if e.Object == gone.UserID.String() {
				t.Errorf("another organisation's audit: %+v", e)
			}
		}
	}
}

func TestMembers_areListedOwnersFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.join("user@example.test", auth.User)
	b.join("second@example.test", auth.Owner)
	list := members(b)
	if len(list) != 3 || list[0].Role != auth.Owner || list[1].Role != auth.Owner || list[2].Email != "user@example.test" || list[2].LastSeenAt.IsZero() {
		t.Errorf("members = %+v", list)
	}
	user := b.join("plain@example.test", auth.User)
	if _, err := b.Members(t.Context(), user); err != nil {
		t.Errorf("a user cannot see the members: %v", err)
	}
}

// Every change has its line of audit, and what fails has none.
func TestAudit_isWrittenWithTheChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	user := b.join("user@example.test", auth.User)
	before := b.count(`SELECT count(*) FROM auth.audit`)
	is(t, b.ChangeRole(ctx, user, user.UserID, auth.Owner), fault.Denied, "permission_denied")
	is(t, b.RemoveMember(ctx, b.owner, b.owner.UserID), fault.Conflict, "last_owner")
	if after := b.count(`SELECT count(*) FROM auth.audit`); after != before {
		t.Errorf("refused changes wrote %d lines", after-before)
	}
	by := b.owner
	by.IP, by.RequestID = "203.0.113.9", "req_1"
	ok(t, b.ChangeRole(ctx, by, user.UserID, auth.Auditor))
	entries, err := b.AuditPage(ctx, b.owner, 0, 1)
	ok(t, err)
	want := auth.Entry{
		ID: entries[0].ID, At: entries[0].At, Actor: "user:" + by.UserID.String(), ActorName: adminEmail,
		Action: "member.change_role", Object: user.UserID.String(), Detail: entries[0].Detail, IP: by.IP, RequestID: by.RequestID,
	}
	if got := entries[0]; got.Actor != want.Actor || got.Action != want.Action || got.Object != want.Object || got.IP != want.IP ||
		got.RequestID != want.RequestID || string(got.Detail) != `{"to": "auditor", "from": "user"}` {
		t.Errorf("entry = %+v, want %+v", got, want)
	}
	key, _, err := b.CreateKey(ctx, b.owner, "ci", auth.ScopeInference, time.Time{}, nil)
	ok(t, err)
	for want, actor := range map[string]auth.Actor{
		"ci": {Organisation: by.Organisation, KeyID: key.ID, UserID: by.UserID}, adminEmail: {Organisation: by.Organisation, UserID: by.UserID},
	} {
		ok(t, db.InTx(ctx, b.pool, func(tx pgx.Tx) error { return auth.Audit(ctx, tx, actor, "deployment.wake", "chat", nil) }))
		if woken, err := b.AuditPage(ctx, b.owner, 0, 1); err != nil || woken[0].ActorName != want || woken[0].Actor != actor.Ref() {
			t.Errorf("who is known by an id is %+v, %v; want %s", woken, err, want)
		}
	}
	older, err := b.AuditPage(ctx, b.owner, entries[0].ID, 100)
	if err != nil || len(older) == 0 || older[0].ID >= entries[0].ID {
		t.Errorf("the page before = %v, %v", older, err)
	}
	_, err = b.AuditPage(ctx, user, 0, 1) // his actor still says user
	is(t, err, fault.Denied, "permission_denied")
}
