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
)

// maxSessions is how many sessions a user has at once; the one used longest ago
// ends when another begins.
const maxSessions = 10

// Client is where a sign-in comes from.
type Client struct{ IP, UserAgent, RequestID string }

// Session is one browser that is signed in.
type Session struct {
	ID                               uuid.UUID
	IP, UserAgent                    string
	CreatedAt, LastSeenAt, ExpiresAt time.Time
	Current                          bool // the one that asks
}

// SignIn begins a session and returns its token, for the cookie. It fails with
// fault.Signin, kind invalid_credentials, for an unknown address and for a
// wrong password alike, after the same work; with fault.Throttled after too
// many attempts (see throttle.go); with fault.Unavailable when too many people
// sign in at once.
func (s *Service) SignIn(ctx context.Context, email, password string, from Client) (string, error) {
	if clean, err := cleanEmail(email); err == nil {
		email = clean
	}
	refundAddress, err := s.tryAddress(ctx, from.IP)
	if err != nil {
		return "", err
	}
	u, err := s.q().UserByEmail(ctx, email)
	if err != nil && !none(err) {
		return "", fmt.Errorf("look up the user: %w", err)
	}
	u.Email = email
	if err := s.prove(ctx, u, password, from); err != nil {
		if !fault.Is(err, fault.Signin) && !fault.Is(err, fault.Throttled) {
			_ = refundAddress() // nothing was guessed; the first error is the one to tell
		}
		return "", err
	}
	if err := refundAddress(); err != nil {
		return "", err
	}
	return s.begin(ctx, u.ID, email, from)
}

// prove returns nil when password is the user's. One who is not there, is
// disabled or has no password costs the same work and gets the same answer as a
// wrong password.
func (s *Service) prove(ctx context.Context, u authdb.UserByEmailRow, password string, from Client) error {
	account, refund, err := s.tryAccount(ctx, u.Email, u.ID, from.IP)
	if err != nil {
		return err
	}
	phc := orZero(u.PasswordHash)
	if u.DisabledAt != nil {
		phc = ""
	}
	ok, stale, err := s.hashes.verify(ctx, password, phc)
	if err != nil {
		_ = refund() // nothing was guessed; the first error is the one to tell
		return err
	}
	if !ok {
		return s.refused(ctx, u.ID, u.Email, from)
	}
	if err := s.q().ForgetAttempts(ctx, account); err != nil {
		return fmt.Errorf("forget the attempts: %w", err)
	}
	if stale {
		s.renewHash(ctx, u.ID, password, phc)
	}
	return nil
}

// refused notes a failed sign-in and returns what is said of it. Both are the
// same for an address that nobody has, or the time of a commit would tell; what
// was typed there is not kept, for it may be a password.
func (s *Service) refused(ctx context.Context, user uuid.UUID, email string, from Client) error {
	actor, object := Actor{IP: from.IP, RequestID: from.RequestID}, "user:unknown"
	if user != uuid.Nil {
		actor.Name, object = email, "user:"+user.String()
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error { return Audit(ctx, tx, actor, "session.refuse", object, nil) })
	if err != nil {
		return err //nolint:wrapcheck // Audit says what it did
	}
	return fault.New(fault.Signin, "The e-mail address or the password is wrong.").
		WithFix("Check both; whoever runs this platform can make a new link with inventiv admin reset-password.").WithKind("invalid_credentials")
}

// renewHash stores the password's hash with today's cost. It can wait for the
// next sign-in, so a failure is only logged.
func (s *Service) renewHash(ctx context.Context, user uuid.UUID, password, current string) {
	next, err := s.hashes.hash(ctx, password)
	if err == nil {
		err = s.q().RenewPasswordHash(ctx, authdb.RenewPasswordHashParams{ID: user, Current: current, Next: next})
	}
	if err != nil {
		s.log.WarnContext(ctx, "password hash not renewed", "user", user, "err", err)
	}
}

// begin makes a session. It starts in the organisation the user worked in last.
func (s *Service) begin(ctx context.Context, user uuid.UUID, email string, from Client) (string, error) {
	var token string
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		token, err = s.beginIn(ctx, tx, user, uuid.Nil, email, from)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	return token, nil
}

// beginIn makes a session in tx, in organisation unless that is nil.
func (s *Service) beginIn(ctx context.Context, tx pgx.Tx, user, organisation uuid.UUID, email string, from Client) (string, error) {
	q := authdb.New(tx)
	token, hash := newToken()
	id := newID()
	agent := []rune(from.UserAgent)
	last, err := q.InsertSession(ctx, authdb.InsertSessionParams{
		ID: id, TokenHash: hash, UserID: user, Ip: from.IP, UserAgent: string(agent[:min(len(agent), 300)]),
		LifeSecs: s.opts.SessionLife.Seconds(),
	})
	if err != nil {
		return "", fmt.Errorf("insert: %w", err)
	}
	if organisation == uuid.Nil {
		organisation = orZero(last)
	} else if _, err := q.SetSessionOrganisation(ctx, authdb.SetSessionOrganisationParams{ID: id, UserID: user, OrganisationID: &organisation}); err != nil {
		return "", fmt.Errorf("enter the organisation: %w", err)
	}
	if err := q.EndOldestSessions(ctx, authdb.EndOldestSessionsParams{UserID: user, Keep: maxSessions}); err != nil {
		return "", fmt.Errorf("end older sessions: %w", err)
	}
	actor := Actor{UserID: user, Organisation: organisation, Name: email, IP: from.IP, RequestID: from.RequestID}
	return token, Audit(ctx, tx, actor, "session.begin", id.String(), nil)
}

// Authenticate returns who uses a session, with the role he has at this moment
// in the session's organisation, and keeps the session from going idle. A
// member who was removed from it has no organisation. It fails with
// fault.Signin, kind session_ended, when the session is over or was never one.
func (s *Service) Authenticate(ctx context.Context, token string) (Actor, error) {
	return s.authenticate(ctx, token, true)
}

// Peek is Authenticate for what a page does by itself, such as a live stream:
// it does not count as use.
func (s *Service) Peek(ctx context.Context, token string) (Actor, error) {
	return s.authenticate(ctx, token, false)
}

func (s *Service) authenticate(ctx context.Context, token string, use bool) (Actor, error) {
	r, err := s.q().SessionByToken(ctx, authdb.SessionByTokenParams{TokenHash: tokenHash(token), IdleSecs: s.opts.SessionIdle.Seconds()})
	if none(err) {
		return Actor{}, errSessionEnded
	}
	if err != nil {
		return Actor{}, fmt.Errorf("look up the session: %w", err)
	}
	if use && r.Stale {
		if err := s.q().TouchSession(ctx, r.ID); err != nil {
			return Actor{}, fmt.Errorf("touch the session: %w", err)
		}
	}
	a := Actor{UserID: r.UserID, SessionID: r.ID, Name: r.Email, PlatformAdmin: r.PlatformAdmin}
	if r.OrganisationID != nil && r.Role != nil {
		a.Organisation, a.Role = *r.OrganisationID, Role(*r.Role)
	}
	return a, nil
}

var errSessionEnded = fault.New(fault.Signin, "You are not signed in, or your session has ended.").
	WithFix("Sign in again.").WithKind("session_ended")

// SignOut ends the actor's session.
func (s *Service) SignOut(ctx context.Context, actor Actor) error {
	return s.EndSession(ctx, actor, actor.SessionID)
}

// Sessions lists where the actor's user is signed in, the last used first.
func (s *Service) Sessions(ctx context.Context, actor Actor) ([]Session, error) {
	rows, err := s.q().SessionsOf(ctx, authdb.SessionsOfParams{UserID: actor.UserID, IdleSecs: s.opts.SessionIdle.Seconds()})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	list := make([]Session, len(rows))
	for i, r := range rows {
		list[i] = Session{
			ID: r.ID, IP: r.Ip, UserAgent: r.UserAgent, CreatedAt: r.CreatedAt, LastSeenAt: r.LastSeenAt, ExpiresAt: r.ExpiresAt,
			Current: r.ID == actor.SessionID,
		}
	}
	return list, nil
}

// EndSession ends one of the sessions of the actor's user. It fails with
// fault.NotFound for another's, and for one that is over.
func (s *Service) EndSession(ctx context.Context, actor Actor, id uuid.UUID) error {
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		n, err := authdb.New(tx).EndSession(ctx, authdb.EndSessionParams{ID: id, UserID: actor.UserID})
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if n == 0 {
			return fault.New(fault.NotFound, "There is no such session.")
		}
		return Audit(ctx, tx, actor, "session.end", id.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// ChangePassword gives the actor's user another password and ends his other
// sessions. It fails with fault.Denied, kind invalid_credentials, when current
// is wrong, and with fault.Invalid, kind weak_password, for a bad new one.
func (s *Service) ChangePassword(ctx context.Context, actor Actor, current, next string) error {
	u, err := s.q().UserByID(ctx, actor.UserID)
	if err != nil {
		return fmt.Errorf("look up the user: %w", err)
	}
	account, refund, err := s.tryAccount(ctx, u.Email, u.ID, actor.IP)
	if err != nil {
		return err
	}
	ok, _, err := s.hashes.verify(ctx, current, orZero(u.PasswordHash))
	if err != nil {
		_ = refund() // nothing was guessed; the first error is the one to tell
		return err
	}
	if !ok {
		return fault.New(fault.Denied, "The current password is wrong.").WithField("current").WithKind("invalid_credentials")
	}
	if err := s.q().ForgetAttempts(ctx, account); err != nil {
		return fmt.Errorf("forget the attempts: %w", err)
	}
	hash, err := s.newHash(ctx, next, u.Email)
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := setPassword(ctx, tx, u.ID, actor.SessionID, hash); err != nil {
			return err
		}
		return Audit(ctx, tx, actor, "user.change_password", u.ID.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("change the password: %w", err)
	}
	return nil
}

// newHash returns the hash of a password that is good enough for the user.
func (s *Service) newHash(ctx context.Context, password, email string) (string, error) {
	if err := checkPassword(password, email); err != nil {
		return "", err
	}
	return s.hashes.hash(ctx, password)
}

// setPassword stores a password's hash and ends what the old one gave: links,
// and all sessions but keep.
func setPassword(ctx context.Context, tx pgx.Tx, user, keep uuid.UUID, hash string) error {
	q := authdb.New(tx)
	if err := q.SetPassword(ctx, authdb.SetPasswordParams{ID: user, PasswordHash: hash}); err != nil {
		return fmt.Errorf("store the password: %w", err)
	}
	if err := q.EndOtherSessions(ctx, authdb.EndOtherSessionsParams{UserID: user, Keep: keep}); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	if err := q.VoidTickets(ctx, user); err != nil {
		return fmt.Errorf("void links: %w", err)
	}
	return nil
}
