package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/text/unicode/norm"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

// Options tune a Service; the zero value is right.
type Options struct {
	SessionIdle time.Duration // a session ends when nobody used it for so long; 0: an hour
	SessionLife time.Duration // and so long after it began, whatever was done; 0: twelve hours
	AuditDays   int           // how long lines of the audit are kept; 0: for ever
}

// Service holds the verbs of this module. Make it with New.
type Service struct {
	pool   *pgxpool.Pool
	ring   *keyring.Ring
	log    *slog.Logger
	opts   Options
	hashes *hasher

	// Keys is the table of API keys. Whoever runs the service runs it too.
	Keys *KeyTable
}

// New returns the service. The ring must be the database's: see CheckKeyring.
func New(pool *pgxpool.Pool, ring *keyring.Ring, log *slog.Logger, opts Options) *Service {
	if opts.SessionIdle == 0 {
		opts.SessionIdle = time.Hour
	}
	if opts.SessionLife == 0 {
		opts.SessionLife = 12 * time.Hour
	}
	return &Service{
		pool: pool, ring: ring, log: log, opts: opts, hashes: newHasher(), Keys: NewKeyTable(pool, ring, log),
	}
}

func (s *Service) q() *authdb.Queries { return authdb.New(s.pool) }

// KeyringNamed reports whether the database names a master key: a ring may be
// created only while it does not.
func KeyringNamed(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	ids, err := authdb.New(pool).MasterKeys(ctx)
	if err != nil {
		return false, fmt.Errorf("read the names of the master keys: %w", err)
	}
	return len(ids) > 0, nil
}

// CheckKeyring makes a database that names no master key name the ring's, and
// keys that were added to the ring since. It fails with fault.Conflict when the
// ring lacks one that the database names: its secrets could not be read. Ids are
// fingerprints, so a ring that has the id has the key. Of several processes that
// come with different rings at once, one wins.
func CheckKeyring(ctx context.Context, pool *pgxpool.Pool, ring *keyring.Ring) error {
	err := db.InTx(ctx, pool, func(tx pgx.Tx) error {
		q := authdb.New(tx)
		if err := q.LockMasterKeys(ctx); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		named, err := q.MasterKeys(ctx)
		if err != nil {
			return fmt.Errorf("read their names: %w", err)
		}
		for _, id := range named {
			if !ring.Holds(id) {
				return fault.Newf(fault.Conflict, "The secrets in this database are sealed with the master key %s, which the key file does not hold.", id).
					WithFix("Give every replica the same MASTER_KEY_FILE; restore it from its backup if it was lost.").
					WithKind("master_key_missing")
			}
		}
		if err := q.InsertMasterKeys(ctx, ring.IDs()); err != nil {
			return fmt.Errorf("name them: %w", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check the master keys: %w", err)
	}
	return nil
}

// Sweep deletes what nobody needs any more, sessions and links a month after
// their end among it, and returns how many rows went. It is the pass of a
// retention loop.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	q, moved := s.q(), 0
	for _, sweep := range []func(context.Context) (int64, error){
		q.SweepSessions, q.SweepTickets, q.SweepThrottles, q.SweepRequests,
	} {
		n, err := sweep(ctx)
		if err != nil {
			return moved, fmt.Errorf("sweep what is no longer needed: %w", err)
		}
		moved += int(n)
	}
	n, err := s.sweepAudit(ctx)
	return moved + n, err
}

// sweptAtOnce is how many lines of the audit are deleted in one statement, for
// locks that are short.
const sweptAtOnce = 1000

// sweepAudit deletes the lines of the audit that are too old.
func (s *Service) sweepAudit(ctx context.Context) (moved int, err error) {
	if s.opts.AuditDays == 0 {
		return 0, nil
	}
	for n := int64(sweptAtOnce); n == sweptAtOnce; moved += int(n) {
		if n, err = s.q().SweepAudit(ctx, authdb.SweepAuditParams{Batch: sweptAtOnce, Days: int32(s.opts.AuditDays)}); err != nil {
			return moved, fmt.Errorf("sweep the audit: %w", err)
		}
	}
	return moved, nil
}

// cleanEmail returns an address as it is stored.
func cleanEmail(email string) (string, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	name, host, ok := strings.Cut(email, "@")
	odd := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`<>"(),:;\`, r) }
	if !ok || name == "" || host == "" || len(email) > 254 || strings.ContainsFunc(email, odd) || strings.Contains(host, "@") {
		return "", fault.New(fault.Invalid, "This is not an e-mail address.").WithFix("Write it as name@host.").WithField("email")
	}
	return email, nil
}

// cleanName returns a name for people, of at most 100 characters, in the one
// way it can be written (NFC).
func cleanName(what, name string) (string, error) {
	name = norm.NFC.String(strings.TrimSpace(name))
	if name == "" || len([]rune(name)) > 100 || !utf8.ValidString(name) || strings.ContainsFunc(name, misleads) {
		return "", fault.Newf(fault.Invalid, "%s needs a name of 1 to 100 characters, on one line.", what).WithField("name").
			WithFix("Characters that cannot be seen, or that turn the direction of others, are not taken.")
	}
	return name, nil
}

// misleads reports whether a name with r may look like another one: it breaks
// the line, turns the direction of what follows, or cannot be seen. What joins
// letters and emoji stays.
func misleads(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d'
}

// none reports whether a query found no row.
func none(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// orNull returns nil for the zero value.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
