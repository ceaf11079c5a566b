package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

// Service is the module's front door.
type Service struct {
	pool   *pgxpool.Pool
	ring   *keyring.Ring
	log    *slog.Logger
	hashes *hasher
	Keys   *KeyTable
}

// New returns the service. The ring must be the database's: see CheckKeyring.
func New(pool *pgxpool.Pool, ring *keyring.Ring, log *slog.Logger) *Service {
	return &Service{
		pool: pool, ring: ring, log: log, hashes: newHasher(),
		Keys: NewKeyTable(pool, ring.Derive("api-key-pepper"), log),
	}
}

func (s *Service) q() *authdb.Queries { return authdb.New(s.pool) }

// KeyringNamed reports whether the database already names a master key: a ring
// may be created only while it does not.
func KeyringNamed(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	rows, err := authdb.New(pool).MasterKeys(ctx)
	if err != nil {
		return false, fmt.Errorf("read the master keys' names: %w", err)
	}
	return len(rows) > 0, nil
}

// CheckKeyring makes an empty database name the ring's key, and otherwise
// refuses a ring that lacks one the database names, or that holds another key
// under its name.
func CheckKeyring(ctx context.Context, pool *pgxpool.Pool, ring *keyring.Ring) error {
	place := func(id string) string { return keyring.Place("auth.master_keys", "canary", "", id) }
	q := authdb.New(pool)
	rows, err := q.MasterKeys(ctx)
	if err != nil {
		return fmt.Errorf("read the master keys' names: %w", err)
	}
	if len(rows) == 0 {
		id := ring.ID()
		if err := q.InsertMasterKey(ctx, authdb.InsertMasterKeyParams{ID: id, Canary: ring.Seal(place(id), []byte(id))}); err != nil {
			return fmt.Errorf("name the master key: %w", err)
		}
		if rows, err = q.MasterKeys(ctx); err != nil {
			return fmt.Errorf("read the master keys' names: %w", err)
		}
	}
	for _, row := range rows {
		if _, err := ring.Open(place(row.ID), row.Canary); err != nil {
			return fault.Newf(fault.Conflict, "The database is sealed with the master key %s, which the key file does not hold.", row.ID).
				WithFix("Give every replica the same MASTER_KEY_FILE; restore it from your backup if it was lost.").WithKind("master_key_missing").WithCause(err)
		}
	}
	return nil
}

// Audit records what the actor did, in the transaction of the change itself.
// detail must hold no secret.
func Audit(ctx context.Context, tx pgx.Tx, actor Actor, action, object string, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("write the audit's detail: %w", err)
	}
	var organisation *uuid.UUID
	if actor.Organisation != uuid.Nil {
		organisation = &actor.Organisation
	}
	if err := authdb.New(tx).InsertAudit(ctx, authdb.InsertAuditParams{
		OrganisationID: organisation, Actor: actor.Ref(), ActorName: actor.Name, Action: action, Object: object, Detail: text,
		Ip: actor.IP, RequestID: actor.RequestID,
	}); err != nil {
		return fmt.Errorf("write the audit: %w", err)
	}
	return nil
}

// Need returns fault.Denied unless the actor has the permission.
func Need(a Actor, p Permission) error {
	if a.Can(p) {
		return nil
	}
	return fault.Newf(fault.Denied, "This needs the permission %s, which the role %s does not have.", p, orNone(a.Role)).
		WithFix("Ask an owner of the organisation.").WithKind("permission_denied")
}

func orNone(r Role) string {
	if r == "" {
		return "of nobody"
	}
	return string(r)
}

// Organisation is a tenant, as one of its members sees it.
type Organisation struct {
	ID         uuid.UUID
	Name, Slug string
	Role       Role
}

// CreateOrganisation makes an organisation whose owner is the user.
func (s *Service) CreateOrganisation(ctx context.Context, owner uuid.UUID, name string, demo bool) (Organisation, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 100 {
		return Organisation{}, fault.New(fault.Invalid, "An organisation needs a name of 1 to 100 characters.").WithField("name")
	}
	o := Organisation{ID: uuid.Must(uuid.NewV7()), Name: name, Slug: slug(name), Role: Owner}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := authdb.New(tx)
		if err := q.InsertOrganisation(ctx, authdb.InsertOrganisationParams{ID: o.ID, Name: o.Name, Slug: o.Slug, Demo: demo}); err != nil {
			return err
		}
		return q.UpsertMembership(ctx, authdb.UpsertMembershipParams{OrganisationID: o.ID, UserID: owner, Role: string(Owner)})
	})
	if db.IsUnique(err, "organisations_slug_key") {
		return Organisation{}, fault.Newf(fault.Conflict, "An organisation named %s exists already.", name).WithField("name")
	}
	if err != nil {
		return Organisation{}, fmt.Errorf("create organisation: %w", err)
	}
	return o, nil
}

// slug turns a name into what URLs and people can type: "Atelier Nord" is
// "atelier-nord".
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-") && (unicode.IsSpace(r) || strings.ContainsRune("-_.", r)):
			b.WriteByte('-')
		}
	}
	out := strings.Trim(b.String(), "-")
	out = strings.Trim(out[:min(len(out), 64)], "-")
	if out == "" {
		return "org-" + strings.ToLower(random62(8))
	}
	return out
}

// Organisations lists what the user is a member of.
func (s *Service) Organisations(ctx context.Context, user uuid.UUID) ([]Organisation, error) {
	rows, err := s.q().OrganisationsOf(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("list organisations: %w", err)
	}
	list := make([]Organisation, len(rows))
	for i, r := range rows {
		list[i] = Organisation{ID: r.ID, Name: r.Name, Slug: r.Slug, Role: Role(r.Role)}
	}
	return list, nil
}

// IsDemo reports whether every organisation of the database, if any, was made
// by the demo: it refuses to touch another one.
func (s *Service) IsDemo(ctx context.Context) (bool, error) {
	n, err := s.q().CountOrganisations(ctx)
	if err != nil {
		return false, fmt.Errorf("count organisations: %w", err)
	}
	return n.Total == n.Demo, nil
}

// cleanEmail returns the address as it is stored.
func cleanEmail(email string) (string, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	name, host, ok := strings.Cut(email, "@")
	if !ok || name == "" || host == "" || len(email) > 254 || strings.ContainsAny(email, " \t\r\n<>\"") || strings.Contains(host, "@") {
		return "", fault.New(fault.Invalid, "This is not an e-mail address.").WithField("email")
	}
	return email, nil
}

// found turns "no rows" into a fault with that sentence.
func found(err error, text string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.New(fault.NotFound, text)
	}
	return err
}

// seconds is a duration as the queries take it.
func seconds(d time.Duration) float64 { return d.Seconds() }
