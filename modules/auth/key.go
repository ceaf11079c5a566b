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

// Key is an API key without its secret.
type Key struct {
	ID         uuid.UUID
	PublicID   string // in the key itself: "sk-inv-<PublicID>-…"
	Name       string
	Scopes     Scopes
	Networks   Networks  // where it may be used from; none: everywhere
	OwnerID    uuid.UUID // nil for a key that belongs to no member
	Owner      string    // e-mail address, or empty
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // zero: never; written every half minute
	RevokedAt  time.Time // zero: not
	Suspended  bool      // its owner is no longer a member
}

// State says in one word what becomes of a request with the key: active,
// revoked, suspended or expired.
func (k Key) State(now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case k.Suspended:
		return "suspended"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	}
	return "active"
}

// CreateKey makes an API key of the actor's in its organisation. The text is
// returned once and can never be read again. It ends at expires; a zero time
// means never. It may be used from networks; without any, from where the key that
// makes it may be, or from everywhere. It needs KeysOwn.
//
// A key gives away no more than its maker has: it fails with fault.Denied for a
// scope that the actor could not use itself, and when a key makes one that
// would outlive it or be used from elsewhere.
func (s *Service) CreateKey(ctx context.Context, actor Actor, name string, scopes Scopes, expires time.Time, networks Networks) (Key, string, error) {
	if err := Need(actor, KeysOwn); err != nil {
		return Key{}, "", err
	}
	name, err := cleanName("An API key", name)
	if err != nil {
		return Key{}, "", err
	}
	if _, err := ParseScopes(scopes.Names()); err != nil {
		return Key{}, "", err
	}
	if scopes.Has(ScopeInference) {
		if actor.KeyID != uuid.Nil && !actor.Scopes.Has(ScopeInference) {
			return Key{}, "", fault.New(fault.Denied, "A key gives away no more than it has, and the one that asks lacks the scope inference.").
				WithFix("Ask with a key of the scopes admin and inference, or make the new one in the console.").WithKind("permission_denied").WithField("scopes")
		}
		if err := Need(actor, InferenceUse); err != nil {
			return Key{}, "", err
		}
	}
	if !expires.IsZero() && time.Until(expires) < time.Minute {
		return Key{}, "", fault.New(fault.Invalid, "The key would expire at once.").
			WithFix("Choose a time that lies ahead, or none.").WithField("expires_at")
	}
	text, public, secret := newKey()
	k := Key{
		ID: newID(), PublicID: public, Name: name, Scopes: scopes, OwnerID: actor.UserID,
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := authdb.New(tx)
		change, err := q.BumpKeys(ctx)
		if err != nil {
			return fmt.Errorf("take a version: %w", err)
		}
		if err := notBeyondParent(ctx, q, actor, expires); err != nil {
			return err
		}
		if len(networks) > 0 {
			if err := notBeyondOwnNetworks(ctx, q, actor, networks); err != nil {
				return err
			}
		}
		ids := s.ring.IDs()
		made, err := q.InsertKey(ctx, authdb.InsertKeyParams{
			ID: k.ID, PublicID: public, OrganisationID: actor.Organisation, UserID: orNull(actor.UserID), Name: name,
			Scopes: scopes.Names(), SecretMac: secretMAC(pepperOf(s.ring), secret), PepperKey: ids[len(ids)-1],
			ExpiresAt: orNull(expires), Change: change, Networks: networks.Texts(), Parent: orNull(actor.KeyID),
		})
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		k.CreatedAt, k.ExpiresAt, k.Networks, k.Owner = made.CreatedAt, orZero(made.ExpiresAt), networksOf(made.Networks), made.Owner
		detail := map[string]any{"name": name, "public_id": public, "scopes": scopes.Names()}
		if len(networks) > 0 {
			detail["networks"] = k.Networks.Texts()
		}
		return changedKey(ctx, tx, actor, "key.create", k.ID, detail)
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("create API key: %w", err)
	}
	s.Keys.Wake()
	return k, text, nil
}

// notBeyondParent refuses a key that would outlive the key that makes it.
func notBeyondParent(ctx context.Context, q *authdb.Queries, actor Actor, expires time.Time) error {
	if actor.KeyID == uuid.Nil {
		return nil
	}
	parent, err := q.KeyActor(ctx, authdb.KeyActorParams{OrganisationID: actor.Organisation, ID: actor.KeyID})
	if none(err) {
		return errRevokedKey
	}
	if err != nil {
		return fmt.Errorf("look up the key that asks: %w", err)
	}
	if parent.ExpiresAt != nil && (expires.IsZero() || expires.After(*parent.ExpiresAt)) {
		return fault.Newf(fault.Denied, "A key cannot make one that outlives it: it expires on %s.", parent.ExpiresAt.UTC().Format(time.RFC1123)).
			WithField("expires_at").WithKind("key_outlives_parent")
	}
	return nil
}

func changedKey(ctx context.Context, tx pgx.Tx, actor Actor, action string, id uuid.UUID, detail map[string]any) error {
	if err := Audit(ctx, tx, actor, action, id.String(), detail); err != nil {
		return err
	}
	return events.Post(ctx, tx, events.Event{Topic: events.Key, Key: id.String(), Organisation: actor.Organisation})
}

// whose returns the owner to whose keys the actor is limited; nil when it may
// handle all of its organisation's.
func whose(actor Actor) (*uuid.UUID, error) {
	if actor.Can(KeysAll) {
		return nil, nil //nolint:nilnil // no owner in particular
	}
	if err := Need(actor, KeysOwn); err != nil {
		return nil, err
	}
	return &actor.UserID, nil
}

// ListKeys lists the API keys that the actor may see, newest first: its own
// with KeysOwn, the whole organisation's with KeysAll.
func (s *Service) ListKeys(ctx context.Context, actor Actor) ([]Key, error) {
	owner, err := whose(actor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q().Keys(ctx, authdb.KeysParams{OrganisationID: actor.Organisation, OwnerID: owner})
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	list := make([]Key, len(rows))
	for i, r := range rows {
		list[i] = Key{
			ID: r.ID, PublicID: r.PublicID, Name: r.Name, Scopes: scopesNamed(r.Scopes), Networks: networksOf(r.Networks),
			OwnerID: orZero(r.UserID), Owner: r.Owner, CreatedAt: r.CreatedAt, ExpiresAt: orZero(r.ExpiresAt),
			LastUsedAt: orZero(r.LastUsedAt), RevokedAt: orZero(r.RevokedAt), Suspended: r.Suspended,
		}
	}
	return list, nil
}

// KeyName is what a key is called, and whose it is, by his e-mail address; empty
// for a key that belongs to no member.
type KeyName struct{ Name, Owner string }

// KeyNames names the keys whose usage the actor may see: everybody's with
// UsageAll, else its own. Who pays for a key may know its name without being
// able to touch it.
func (s *Service) KeyNames(ctx context.Context, actor Actor) (map[uuid.UUID]KeyName, error) {
	owner := &actor.UserID
	if actor.Can(UsageAll) {
		owner = nil
	} else if err := Need(actor, UsageOwn); err != nil {
		return nil, err
	}
	rows, err := s.q().Keys(ctx, authdb.KeysParams{OrganisationID: actor.Organisation, OwnerID: owner})
	if err != nil {
		return nil, fmt.Errorf("name API keys: %w", err)
	}
	names := make(map[uuid.UUID]KeyName, len(rows))
	for _, r := range rows {
		names[r.ID] = KeyName{r.Name, r.Owner}
	}
	return names, nil
}

// RevokeKey ends an API key for good; every process that reaches the database
// refuses it within three seconds. Revoking it again is not an error. It fails
// with fault.NotFound for a key that is not there, or that the actor may not
// handle.
func (s *Service) RevokeKey(ctx context.Context, actor Actor, id uuid.UUID) error {
	owner, err := whose(actor)
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := authdb.New(tx)
		change, err := q.BumpKeys(ctx)
		if err != nil {
			return fmt.Errorf("take a version: %w", err)
		}
		k, err := q.KeyForRevocation(ctx, authdb.KeyForRevocationParams{OrganisationID: actor.Organisation, ID: id, OwnerID: owner})
		if none(err) {
			return fault.New(fault.NotFound, "There is no such API key.")
		}
		if err != nil || k.RevokedAt != nil {
			return err //nolint:wrapcheck // one look-up, wrapped below
		}
		if _, err := q.RevokeKey(ctx, authdb.RevokeKeyParams{OrganisationID: actor.Organisation, ID: id, Change: change}); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		return changedKey(ctx, tx, actor, "key.revoke", id, map[string]any{"name": k.Name})
	})
	if err != nil {
		return fmt.Errorf("revoke API key: %w", err)
	}
	s.Keys.Wake()
	return nil
}

// keyActor returns who acts when a request comes with the key of p, as the
// database knows now: its owner's role is read anew, as for a session.
func (s *Service) keyActor(ctx context.Context, p Principal) (Actor, error) {
	r, err := s.q().KeyActor(ctx, authdb.KeyActorParams{OrganisationID: p.Organisation, ID: p.KeyID})
	if none(err) {
		return Actor{}, errRevokedKey
	}
	if err != nil {
		return Actor{}, fmt.Errorf("look up the API key: %w", err)
	}
	a := Actor{
		UserID: orZero(r.UserID), KeyID: r.ID, Organisation: r.OrganisationID, Name: r.Name,
		Role: Role(orZero(r.Role)), PlatformAdmin: orZero(r.PlatformAdmin), Scopes: scopesNamed(r.Scopes),
	}
	if r.UserID == nil {
		a.Role = Owner // a machine's key: its scopes are its only limit
	}
	return a, nil
}
