package auth

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
)

// Member is a user in an organisation.
type Member struct {
	UserID      uuid.UUID
	Email, Name string
	Role        Role
	JoinedAt    time.Time
	LastSeenAt  time.Time // in this organisation; zero: never
}

// Invitation is a member to be. He becomes one when he opens the link, which
// only its maker was shown.
type Invitation struct {
	ID                   uuid.UUID
	Email                string
	Role                 Role
	InvitedBy            string // e-mail address, or empty
	CreatedAt, ExpiresAt time.Time
}

// Members lists the members of the actor's organisation, owners first.
func (s *Service) Members(ctx context.Context, actor Actor) ([]Member, error) {
	if err := Need(actor, MembersView); err != nil {
		return nil, err
	}
	rows, err := s.q().Members(ctx, actor.Organisation)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	list := make([]Member, len(rows))
	for i, r := range rows {
		list[i] = Member{UserID: r.ID, Email: r.Email, Name: r.Name, Role: Role(r.Role), JoinedAt: r.CreatedAt}
		if r.LastSeenAt.Unix() != 0 {
			list[i].LastSeenAt = r.LastSeenAt
		}
	}
	return list, nil
}

// Invitations lists the pending invitations of the actor's organisation.
func (s *Service) Invitations(ctx context.Context, actor Actor) ([]Invitation, error) {
	if err := Need(actor, MembersView); err != nil {
		return nil, err
	}
	rows, err := s.q().Invitations(ctx, actor.Organisation)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	list := make([]Invitation, len(rows))
	for i, r := range rows {
		list[i] = Invitation{ID: r.ID, Email: r.Email, Role: Role(r.Role), InvitedBy: r.InvitedBy, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt}
	}
	return list, nil
}

// AddMember invites somebody and returns the token of a link for him, good once
// and for seven days (see Redeem). Inviting an address again replaces the link
// before: there is one pending invitation of an address at most. It fails with
// fault.Denied, cannot_grant_above_own, for a role that the actor may not give,
// and with fault.Conflict, already_member, for a member.
func (s *Service) AddMember(ctx context.Context, actor Actor, email string, role Role) (Invitation, string, error) {
	email, err := cleanEmail(email)
	if err != nil {
		return Invitation{}, "", err
	}
	if !slices.Contains(Roles(), role) {
		return Invitation{}, "", fault.Newf(fault.Invalid, "There is no role %q.", role).
			WithFix("Use owner, admin, manager, user or auditor.").WithField("role")
	}
	token, hash := newToken()
	invitation := Invitation{Email: email, Role: role, InvitedBy: actor.Name, CreatedAt: time.Now()}
	err = s.changeMembers(ctx, actor, func(tx pgx.Tx, actor Actor) error {
		if err := mayGrant(actor, role); err != nil {
			return err
		}
		q := authdb.New(tx)
		member, err := q.IsMember(ctx, authdb.IsMemberParams{OrganisationID: actor.Organisation, Email: email})
		if err != nil {
			return fmt.Errorf("look up the member: %w", err)
		}
		if member {
			return fault.Newf(fault.Conflict, "%s is a member already.", email).
				WithFix("Change the role of the member instead.").WithField("email").WithKind("already_member")
		}
		row, err := q.PutInvitation(ctx, authdb.PutInvitationParams{
			ID: newID(), TokenHash: hash, OrganisationID: actor.Organisation, Email: email, Role: string(role),
			InvitedBy: orNull(actor.UserID), LifeSecs: inviteLife.Seconds(),
		})
		if err != nil {
			return fmt.Errorf("put the invitation: %w", err)
		}
		invitation.ID, invitation.ExpiresAt = row.ID, row.ExpiresAt
		return changedMember(ctx, tx, actor, "member.invite", row.ID, map[string]any{"email": email, "role": role})
	})
	if err != nil {
		return Invitation{}, "", fmt.Errorf("add member: %w", err)
	}
	return invitation, token, nil
}

// WithdrawInvitation makes a pending invitation's link stop working.
func (s *Service) WithdrawInvitation(ctx context.Context, actor Actor, id uuid.UUID) error {
	err := s.changeMembers(ctx, actor, func(tx pgx.Tx, actor Actor) error {
		r, err := authdb.New(tx).WithdrawInvitation(ctx, authdb.WithdrawInvitationParams{OrganisationID: actor.Organisation, ID: id})
		if none(err) {
			return fault.New(fault.NotFound, "There is no such invitation.")
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if err := mayGrant(actor, Role(r.Role)); err != nil {
			return err
		}
		return changedMember(ctx, tx, actor, "member.withdraw", id, map[string]any{"email": r.Email})
	})
	if err != nil {
		return fmt.Errorf("withdraw the invitation: %w", err)
	}
	return nil
}

// ChangeRole gives a member another role; it holds from his next request on,
// and for his API keys within three seconds. It fails with fault.Denied,
// cannot_grant_above_own, unless the actor may grant both the old role and the
// new one, and with fault.Conflict, last_owner, for the last owner.
func (s *Service) ChangeRole(ctx context.Context, actor Actor, user uuid.UUID, role Role) error {
	if !slices.Contains(Roles(), role) {
		return fault.Newf(fault.Invalid, "There is no role %q.", role).
			WithFix("Use owner, admin, manager, user or auditor.").WithField("role")
	}
	err := s.changeMembers(ctx, actor, func(tx pgx.Tx, actor Actor) error {
		q := authdb.New(tx)
		old, err := memberRole(ctx, q, actor.Organisation, user)
		if err != nil {
			return err
		}
		if err := mayGrant(actor, old, role); err != nil {
			return err
		}
		if err := keepsAnOwner(ctx, q, actor.Organisation, user, old, role); err != nil {
			return err
		}
		if _, err := q.SetRole(ctx, authdb.SetRoleParams{OrganisationID: actor.Organisation, UserID: user, Role: string(role)}); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if err := markKeys(ctx, tx, actor.Organisation, user); err != nil {
			return err
		}
		return changedMember(ctx, tx, actor, "member.change_role", user, map[string]any{"from": old, "to": role})
	})
	if err != nil {
		return fmt.Errorf("change role: %w", err)
	}
	s.Keys.Wake()
	return nil
}

// RemoveMember ends a membership: the organisation is gone from the user's
// sessions at once, and his API keys in it are suspended. Anybody may leave by
// removing himself; the last owner may not.
func (s *Service) RemoveMember(ctx context.Context, actor Actor, user uuid.UUID) error {
	change := s.changeMembers
	if user == actor.UserID && user != uuid.Nil && actor.SessionID != uuid.Nil {
		change = s.inMembers // leaving needs no permission
	}
	err := change(ctx, actor, func(tx pgx.Tx, actor Actor) error {
		q := authdb.New(tx)
		old, err := memberRole(ctx, q, actor.Organisation, user)
		if err != nil {
			return err
		}
		if user != actor.UserID {
			if err := mayGrant(actor, old); err != nil {
				return err
			}
		}
		if err := keepsAnOwner(ctx, q, actor.Organisation, user, old, ""); err != nil {
			return err
		}
		if _, err := q.DeleteMembership(ctx, authdb.DeleteMembershipParams{OrganisationID: actor.Organisation, UserID: user}); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if err := q.LeaveSessions(ctx, authdb.LeaveSessionsParams{OrganisationID: &actor.Organisation, UserID: user}); err != nil {
			return fmt.Errorf("leave the sessions: %w", err)
		}
		if err := markKeys(ctx, tx, actor.Organisation, user); err != nil {
			return err
		}
		return changedMember(ctx, tx, actor, "member.remove", user, map[string]any{"role": old})
	})
	if err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	s.Keys.Wake()
	return nil
}

// changeMembers is inMembers for those who may edit members.
func (s *Service) changeMembers(ctx context.Context, actor Actor, fn func(tx pgx.Tx, actor Actor) error) error {
	return s.inMembers(ctx, actor, func(tx pgx.Tx, actor Actor) error {
		if err := Need(actor, MembersEdit); err != nil {
			return err
		}
		return fn(tx, actor)
	})
}

// inMembers runs fn in a transaction while no other changes the organisation's
// members, with the actor as he is now: somebody may have just taken his role.
func (s *Service) inMembers(ctx context.Context, actor Actor, fn func(tx pgx.Tx, actor Actor) error) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := authdb.New(tx)
		if _, err := q.LockOrganisation(ctx, actor.Organisation); err != nil && !none(err) {
			return fmt.Errorf("lock the members: %w", err)
		}
		if actor.UserID != uuid.Nil {
			role, err := q.RoleOf(ctx, authdb.RoleOfParams{OrganisationID: actor.Organisation, UserID: actor.UserID})
			if err != nil && !none(err) {
				return fmt.Errorf("look up the actor's role: %w", err)
			}
			actor.Role = Role(role)
		}
		return fn(tx, actor)
	})
}

// mayGrant refuses unless the actor may grant every one of roles.
func mayGrant(actor Actor, roles ...Role) error {
	for _, role := range roles {
		if !actor.grants(role) {
			return fault.Newf(fault.Denied, "The role %s may neither give nor take the role %s.", actor.Role, role).
				WithFix("Ask an owner of your organisation.").WithField("role").WithKind("cannot_grant_above_own")
		}
	}
	return nil
}

// memberRole returns the role of a member.
func memberRole(ctx context.Context, q *authdb.Queries, organisation, user uuid.UUID) (Role, error) {
	role, err := q.MemberRole(ctx, authdb.MemberRoleParams{OrganisationID: organisation, UserID: user})
	if none(err) {
		return "", fault.New(fault.NotFound, "There is no such member.")
	}
	if err != nil {
		return "", fmt.Errorf("look up the member: %w", err)
	}
	return Role(role), nil
}

// keepsAnOwner refuses to let the last owner become next, or leave.
func keepsAnOwner(ctx context.Context, q *authdb.Queries, organisation, user uuid.UUID, old, next Role) error {
	if old != Owner || next == Owner {
		return nil
	}
	others, err := q.OtherOwners(ctx, authdb.OtherOwnersParams{OrganisationID: organisation, UserID: user})
	if err != nil {
		return fmt.Errorf("count the owners: %w", err)
	}
	if others == 0 {
		return fault.New(fault.Conflict, "This is the last owner of the organisation, which needs one.").
			WithFix("Make somebody else an owner first.").WithKind("last_owner")
	}
	return nil
}

// markKeys makes every process read a member's keys again.
func markKeys(ctx context.Context, tx pgx.Tx, organisation, user uuid.UUID) error {
	q := authdb.New(tx)
	change, err := q.BumpKeys(ctx)
	if err != nil {
		return fmt.Errorf("take a version of the keys: %w", err)
	}
	if err := q.MarkKeysOf(ctx, authdb.MarkKeysOfParams{OrganisationID: organisation, UserID: &user, Change: change}); err != nil {
		return fmt.Errorf("mark the keys: %w", err)
	}
	return events.Post(ctx, tx, events.Event{Topic: events.Key, Key: user.String(), Organisation: organisation})
}

func changedMember(ctx context.Context, tx pgx.Tx, actor Actor, action string, id uuid.UUID, detail map[string]any) error {
	if err := Audit(ctx, tx, actor, action, id.String(), detail); err != nil {
		return err
	}
	return events.Post(ctx, tx, events.Event{Topic: events.Member, Key: id.String(), Organisation: actor.Organisation})
}
