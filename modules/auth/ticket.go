package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
)

// How long a one-time link lives.
const (
	setupLife  = 24 * time.Hour
	inviteLife = 7 * 24 * time.Hour
	resetLife  = 30 * time.Minute
)

// Purpose is what a one-time link is for.
type Purpose string

// The purposes.
const (
	Setup  Purpose = "setup"  // choose a first password
	Reset  Purpose = "reset"  // choose another password
	Invite Purpose = "invite" // become a member
)

// Ticket is what a page may show of a one-time link to whoever holds it.
type Ticket struct {
	Purpose      Purpose
	Email        string
	Organisation string // name of the one that invites
	Role         Role   // offered by an invitation
	HasPassword  bool   // an invited user has an account: he confirms with his own password
	Founds       bool   // setting up makes a first organisation, whose name may be asked for
	ExpiresAt    time.Time
}

// errLink is said of a link that was used, is too old, or was guessed: which of
// them it is, only its owner may know.
var errLink = fault.New(fault.NotFound, "This link was used already, has expired, or never was one.").
	WithFix("Sign in, or ask whoever sent it for a new one; an operator runs inventiv admin setup-url.").WithKind("setup_done")

// BootstrapAdmin makes sure that the platform has an operator who can sign in.
// With a password he can at once; without one the token of a set-up link is
// returned for the caller to show, at each start until it is used. Once an
// operator has a password nothing is changed, whatever is given, and the token
// is empty. Of several processes that start at once, one makes the operator.
func (s *Service) BootstrapAdmin(ctx context.Context, email, password string) (string, error) {
	email, err := cleanEmail(email)
	if err != nil {
		return "", err
	}
	hash := ""
	if password != "" {
		if hash, err = s.newHash(ctx, password, email); err != nil {
			return "", err
		}
	}
	token := ""
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := authdb.New(tx)
		if err := q.LockUsers(ctx); err != nil {
			return fmt.Errorf("lock the users: %w", err)
		}
		u, err := q.FirstPlatformAdmin(ctx)
		switch {
		case none(err):
			u = authdb.FirstPlatformAdminRow{ID: newID(), Email: email}
			if err := q.InsertUser(ctx, authdb.InsertUserParams{ID: u.ID, Email: email, PlatformAdmin: true}); err != nil {
				return fmt.Errorf("insert the operator: %w", err)
			}
			if err := Audit(ctx, tx, System(uuid.Nil), "user.create", u.ID.String(), map[string]any{"email": email}); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("look up the operator: %w", err)
		case u.PasswordHash != nil:
			return nil
		}
		if hash != "" {
			return setPassword(ctx, tx, u.ID, uuid.Nil, hash)
		}
		token, err = issue(ctx, q, u.ID, Setup, setupLife)
		return err
	})
	if db.IsUnique(err, "users_email_key") {
		return "", fault.Newf(fault.Conflict, "%s is a user already, but no operator of this platform.", email).
			WithFix("Name another address with ADMIN_EMAIL.").WithField("ADMIN_EMAIL")
	}
	if err != nil {
		return "", fmt.Errorf("make the first operator: %w", err)
	}
	return token, nil
}

// issue makes a link for a user. Older ones stay good until one is used: each of
// two replicas has shown its own.
func issue(ctx context.Context, q *authdb.Queries, user uuid.UUID, purpose Purpose, life time.Duration) (string, error) {
	token, hash := newToken()
	err := q.InsertTicket(ctx, authdb.InsertTicketParams{
		ID: newID(), Purpose: string(purpose), TokenHash: hash, UserID: user, LifeSecs: life.Seconds(),
	})
	if err != nil {
		return "", fmt.Errorf("make a link: %w", err)
	}
	return token, nil
}

// SetupLink makes a one-time link for a user who locked himself out, as an
// operator asks on the command line, and returns its token and his address. An
// empty address means the first operator. It fails with fault.NotFound for an
// unknown one. Nothing changes until the link is used.
func (s *Service) SetupLink(ctx context.Context, email string) (token, address string, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		u, err := s.userNamed(ctx, authdb.New(tx), email)
		if err != nil {
			return err
		}
		purpose, life := Reset, resetLife
		if u.PasswordHash == nil {
			purpose, life = Setup, setupLife
		}
		if token, err = issue(ctx, authdb.New(tx), u.ID, purpose, life); err != nil {
			return err
		}
		address = u.Email
		return Audit(ctx, tx, System(uuid.Nil), "user.setup_link", u.ID.String(), nil)
	})
	if err != nil {
		return "", "", fmt.Errorf("make a set-up link: %w", err)
	}
	return token, address, nil
}

// ResetPassword gives a user another password, as an operator asks on the
// command line, and ends all his sessions. An empty address means the first
// operator.
func (s *Service) ResetPassword(ctx context.Context, email, password string) error {
	u, err := s.userNamed(ctx, s.q(), email)
	if err != nil {
		return err
	}
	hash, err := s.newHash(ctx, password, u.Email)
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := setPassword(ctx, tx, u.ID, uuid.Nil, hash); err != nil {
			return err
		}
		return Audit(ctx, tx, System(uuid.Nil), "user.reset_password", u.ID.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("reset the password: %w", err)
	}
	return nil
}

func (s *Service) userNamed(ctx context.Context, q *authdb.Queries, email string) (authdb.FirstPlatformAdminRow, error) {
	if email == "" {
		u, err := q.FirstPlatformAdmin(ctx)
		if none(err) {
			err = fault.New(fault.NotFound, "This platform has no operator yet.").WithFix("Start inventiv serve once.")
		}
		return u, err //nolint:wrapcheck // one look-up
	}
	clean, err := cleanEmail(email)
	if err != nil {
		return authdb.FirstPlatformAdminRow{}, err
	}
	u, err := q.UserByEmail(ctx, clean)
	if none(err) {
		err = fault.New(fault.NotFound, "There is no user with this e-mail address.")
	}
	return authdb.FirstPlatformAdminRow{ID: u.ID, Email: u.Email, PasswordHash: u.PasswordHash}, err //nolint:wrapcheck // one look-up
}

// ReadTicket returns what a one-time link is for, without using it. It fails
// with fault.NotFound, kind setup_done, for one that was used, is too old or
// never was one; such attempts are audited and slowed down.
func (s *Service) ReadTicket(ctx context.Context, token string, from Client) (Ticket, error) {
	r, err := s.ticket(ctx, token, from)
	if err != nil {
		return Ticket{}, err
	}
	return Ticket{
		Purpose: Purpose(r.Purpose), Email: r.Email, Organisation: r.Organisation, Role: Role(orZero(r.Role)),
		HasPassword: r.HasPassword, Founds: founds(r), ExpiresAt: r.ExpiresAt,
	}, nil
}

// founds reports whether setting up makes the operator's first organisation.
func founds(r authdb.TicketByTokenRow) bool {
	return Purpose(r.Purpose) == Setup && r.PlatformAdmin && !r.Placed
}

func (s *Service) ticket(ctx context.Context, token string, from Client) (authdb.TicketByTokenRow, error) {
	refund, err := s.tryAddress(ctx, from.IP)
	if err != nil {
		return authdb.TicketByTokenRow{}, err
	}
	r, err := s.q().TicketByToken(ctx, tokenHash(token))
	if none(err) {
		actor := Actor{IP: from.IP, RequestID: from.RequestID}
		err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error { return Audit(ctx, tx, actor, "link.refuse", "", nil) })
		if err != nil {
			return r, err //nolint:wrapcheck // Audit says what it did
		}
		return r, errLink
	}
	if err != nil {
		return r, fmt.Errorf("look up the link: %w", err)
	}
	return r, refund()
}

// Redeem uses a one-time link and returns the token of a new session.
//
// With a set-up or reset link the user gets password, his other sessions end,
// and an operator without an organisation gets his first one, of the given name
// (empty: "My organisation"). With an invitation a new user gets password and
// becomes a member; one who has an account already becomes a member when
// password is his own. The invitation is void when whoever made it may no longer
// grant its role.
//
// A link works once, however many try at the same time. It fails as ReadTicket
// does, with fault.Invalid, weak_password, and as SignIn does.
func (s *Service) Redeem(ctx context.Context, token, password, organisation string, from Client) (string, error) {
	t, err := s.ticket(ctx, token, from)
	if err != nil {
		return "", err
	}
	redeem := s.redeemPassword
	if Purpose(t.Purpose) == Invite {
		redeem = s.redeemInvitation
	}
	session, err := redeem(ctx, t, password, organisation, from)
	if err != nil {
		return "", fmt.Errorf("redeem a link: %w", err)
	}
	s.Keys.Wake()
	return session, nil
}

func (s *Service) redeemPassword(ctx context.Context, t authdb.TicketByTokenRow, password, organisation string, from Client) (session string, err error) {
	hash, err := s.newHash(ctx, password, t.Email)
	if err != nil {
		return "", err
	}
	user := orZero(t.UserID)
	actor := Actor{UserID: user, Name: t.Email, PlatformAdmin: t.PlatformAdmin, IP: from.IP, RequestID: from.RequestID}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := use(ctx, tx, t.ID); err != nil {
			return err
		}
		if err := setPassword(ctx, tx, user, uuid.Nil, hash); err != nil {
			return err
		}
		if err := Audit(ctx, tx, actor, "user."+t.Purpose, user.String(), nil); err != nil {
			return err
		}
		if founds(t) {
			if organisation == "" {
				organisation = "My organisation"
			}
			if _, err := found(ctx, tx, actor, user, organisation, false); err != nil {
				return err
			}
		}
		session, err = s.beginIn(ctx, tx, user, uuid.Nil, t.Email, from)
		return err
	})
	return session, err
}

func (s *Service) redeemInvitation(ctx context.Context, t authdb.TicketByTokenRow, password, _ string, from Client) (session string, err error) {
	user, hash, err := s.invited(ctx, t.Email, password, from)
	if err != nil {
		return "", err
	}
	organisation := orZero(t.OrganisationID)
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := authdb.New(tx)
		if _, err := q.LockOrganisation(ctx, organisation); err != nil {
			return fmt.Errorf("lock the members: %w", err)
		}
		if err := use(ctx, tx, t.ID); err != nil {
			return err
		}
		if t.InvitedBy != nil {
			role, err := q.RoleOf(ctx, authdb.RoleOfParams{OrganisationID: organisation, UserID: *t.InvitedBy})
			if err != nil && !none(err) {
				return fmt.Errorf("look up the inviter: %w", err)
			}
			if !Role(role).Grants(Role(orZero(t.Role))) {
				return errLink
			}
		}
		if user == uuid.Nil {
			user = newID()
			if err := q.InsertUser(ctx, authdb.InsertUserParams{ID: user, Email: t.Email, PasswordHash: &hash}); err != nil {
				return fmt.Errorf("insert the user: %w", err)
			}
		}
		if _, err := q.InsertMembership(ctx, authdb.InsertMembershipParams{
			OrganisationID: organisation, UserID: user, Role: orZero(t.Role),
		}); err != nil {
			return fmt.Errorf("insert the membership: %w", err)
		}
		if err := markKeys(ctx, tx, organisation, user); err != nil { // those of a member who came back work again
			return err
		}
		actor := Actor{UserID: user, Organisation: organisation, Name: t.Email, IP: from.IP, RequestID: from.RequestID}
		if err := Audit(ctx, tx, actor, "member.join", user.String(), map[string]any{"role": t.Role}); err != nil {
			return err
		}
		if err := events.Post(ctx, tx, events.Event{Topic: events.Member, Key: user.String(), Organisation: organisation}); err != nil {
			return err
		}
		session, err = s.beginIn(ctx, tx, user, organisation, t.Email, from)
		return err
	})
	if db.IsUnique(err, "users_email_key") { // the same person took up two invitations at once
		return "", fault.New(fault.Conflict, "This account was made a moment ago.").WithFix("Open the link again and use its password.")
	}
	return session, err
}

// invited returns the user of an invited address who has proved to be him, or a
// nil id and a new user's password hash. The link alone never opens an account
// that is there: whoever made the link holds it too.
func (s *Service) invited(ctx context.Context, email, password string, from Client) (user uuid.UUID, hash string, err error) {
	u, err := s.q().UserByEmail(ctx, email)
	switch {
	case none(err):
		hash, err = s.newHash(ctx, password, email)
		return uuid.Nil, hash, err
	case err != nil:
		return uuid.Nil, "", fmt.Errorf("look up the user: %w", err)
	case u.PasswordHash == nil:
		return uuid.Nil, "", fault.New(fault.Conflict, "This account has not been set up yet.").
			WithFix("Use its own set-up link first, then open this one again.").WithKind("setup_pending")
	}
	if err := s.prove(ctx, u, password, from); err != nil {
		return uuid.Nil, "", err
	}
	return u.ID, "", nil
}

// use uses a link up, or fails when somebody else has.
func use(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	n, err := authdb.New(tx).UseTicket(ctx, id)
	if err != nil {
		return fmt.Errorf("use the link: %w", err)
	}
	if n == 0 {
		return errLink
	}
	return nil
}
