package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
)

// Key is an API key without its secret.
type Key struct {
	ID         uuid.UUID
	PublicID   string // "sk-inv-<PublicID>-…"
	Name       string
	Scopes     []Scope
	Owner      string // e-mail address; empty for a machine's
	OwnerID    uuid.UUID
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // zero: never
	RevokedAt  time.Time // zero: not
}

// CreateKey makes an API key of the actor's in its organisation and returns it
// with its text, which is shown once and cannot be read again.
func (s *Service) CreateKey(ctx context.Context, actor Actor, name string, scopes []Scope, expiresAt time.Time) (Key, string, error) {
	if err := Need(actor, KeysOwn); err != nil {
		return Key{}, "", err
	}
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 100 {
		return Key{}, "", fault.New(fault.Invalid, "An API key needs a name of 1 to 100 characters.").WithField("name")
	}
	if len(scopes) == 0 {
		scopes = []Scope{ScopeInference}
	}
	for _, scope := range scopes {
		if scope != ScopeInference && scope != ScopeAdmin {
			return Key{}, "", fault.Newf(fault.Invalid, "There is no scope %q; there are inference and admin.", scope).WithField("scopes")
		}
	}
	if slices.Contains(scopes, ScopeInference) {
		if err := Need(actor, InferenceUse); err != nil {
			return Key{}, "", err
		}
	}
	if !expiresAt.IsZero() && time.Until(expiresAt) < time.Minute {
		return Key{}, "", fault.New(fault.Invalid, "The key would expire at once.").WithField("expires_at")
	}
	text, public, secret := newKey()
	k := Key{
		ID: uuid.Must(uuid.NewV7()), PublicID: public, Name: name, Scopes: scopes, Owner: actor.Name, OwnerID: actor.UserID,
		CreatedAt: time.Now(), ExpiresAt: expiresAt,
	}
	row := authdb.InsertKeyParams{
		ID: k.ID, PublicID: public, OrganisationID: actor.Organisation, Name: name, SecretMac: macOf(s.Keys.pepper, secret), PepperKey: s.ring.ID(),
	}
	for _, scope := range scopes {
		row.Scopes = append(row.Scopes, string(scope))
	}
	if actor.UserID != uuid.Nil {
		row.UserID = &actor.UserID
	}
	if !expiresAt.IsZero() {
		row.ExpiresAt = &expiresAt
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := authdb.New(tx).InsertKey(ctx, row); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		if err := Audit(ctx, tx, actor, "key.create", public, map[string]any{"name": name, "scopes": scopes}); err != nil {
			return err
		}
		return events.Post(ctx, tx, events.Event{Topic: events.Key, Key: k.ID.String(), Organisation: actor.Organisation})
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("create API key: %w", err)
	}
	s.Keys.Wake()
	return k, text, nil
}

// ownKeys returns whose keys the actor may handle: nil means all of its
// organisation's.
func ownKeys(actor Actor) (*uuid.UUID, error) {
	if actor.Can(KeysAll) {
		return nil, nil //nolint:nilnil // nobody in particular
	}
	if err := Need(actor, KeysOwn); err != nil {
		return nil, err
	}
	return &actor.UserID, nil
}

// ListKeys lists the API keys the actor may see, newest first.
func (s *Service) ListKeys(ctx context.Context, actor Actor) ([]Key, error) {
	owner, err := ownKeys(actor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q().Keys(ctx, authdb.KeysParams{OrganisationID: actor.Organisation, OwnerID: owner})
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	list := make([]Key, len(rows))
	for i, r := range rows {
		k := Key{
			ID: r.ID, PublicID: r.PublicID, Name: r.Name, Owner: r.Owner, CreatedAt: r.CreatedAt,
			ExpiresAt: orZero(r.ExpiresAt), LastUsedAt: orZero(r.LastUsedAt), RevokedAt: orZero(r.RevokedAt),
		}
		if r.UserID != nil {
			k.OwnerID = *r.UserID
		}
		for _, scope := range r.Scopes {
			k.Scopes = append(k.Scopes, Scope(scope))
		}
		list[i] = k
	}
	return list, nil
}

// RevokeKey ends an API key; the gateways refuse it within three seconds. It
// fails with fault.NotFound for a key that is not there, was revoked before, or
// is another's whom the actor may not touch.
func (s *Service) RevokeKey(ctx context.Context, actor Actor, id uuid.UUID) error {
	owner, err := ownKeys(actor)
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		name, err := authdb.New(tx).RevokeKey(ctx, authdb.RevokeKeyParams{OrganisationID: actor.Organisation, ID: id, OwnerID: owner})
		if err != nil {
			return found(err, "There is no such API key that could be revoked.")
		}
		if err := Audit(ctx, tx, actor, "key.revoke", id.String(), map[string]any{"name": name}); err != nil {
			return err
		}
		return events.Post(ctx, tx, events.Event{Topic: events.Key, Key: id.String(), Organisation: actor.Organisation})
	})
	if err != nil {
		return fmt.Errorf("revoke API key: %w", err)
	}
	s.Keys.Wake()
	return nil
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
