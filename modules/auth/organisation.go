package auth

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
)

// Organisation is a tenant, as one of its members sees it.
type Organisation struct {
	ID         uuid.UUID
	Name, Slug string
	Role       Role // of the member who asks
}

// CreateOrganisation makes an organisation that the user owns. Only an operator
// of the platform may: machines are rented in its name with the platform's
// credentials. demo marks those that a demo may use.
func (s *Service) CreateOrganisation(ctx context.Context, actor Actor, owner uuid.UUID, name string, demo bool) (Organisation, error) {
	if err := Need(actor, PlatformOperate); err != nil {
		return Organisation{}, err
	}
	var o Organisation
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		o, err = found(ctx, tx, actor, owner, name, demo)
		return err
	})
	if err != nil {
		return Organisation{}, fmt.Errorf("create organisation: %w", err)
	}
	return o, nil
}

// found makes an organisation with its owner in tx.
func found(ctx context.Context, tx pgx.Tx, actor Actor, owner uuid.UUID, name string, demo bool) (Organisation, error) {
	name, err := cleanName("An organisation", name)
	if err != nil {
		return Organisation{}, err
	}
	q := authdb.New(tx)
	o := Organisation{ID: newID(), Name: name, Role: Owner}
	row := authdb.InsertOrganisationParams{ID: o.ID, Name: name, Slug: slug(name), Demo: demo}
	o.Slug, err = q.InsertOrganisation(ctx, row)
	if none(err) { // another one has this slug: names may repeat, slugs may not
		row.Slug = strings.Trim(row.Slug[:min(len(row.Slug), 55)], "-") + "-" + strings.ToLower(random62(8))
		o.Slug, err = q.InsertOrganisation(ctx, row)
	}
	if err != nil {
		return Organisation{}, fmt.Errorf("insert: %w", err)
	}
	if _, err := q.InsertMembership(ctx, authdb.InsertMembershipParams{OrganisationID: o.ID, UserID: owner, Role: string(Owner)}); err != nil {
		return Organisation{}, fmt.Errorf("make the owner a member: %w", err)
	}
	actor.Organisation = o.ID
	if err := Audit(ctx, tx, actor, "organisation.create", o.ID.String(), map[string]any{"name": name}); err != nil {
		return Organisation{}, err
	}
	return o, events.Post(ctx, tx, events.Event{Topic: events.Member, Key: owner.String(), Organisation: o.ID})
}

// slug turns a name into what URLs and people can type: "Atelier Nord" becomes
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
	out := b.String()
	out = strings.Trim(out[:min(len(out), 64)], "-")
	if out == "" {
		return "org-" + strings.ToLower(random62(8))
	}
	return out
}

// Organisations lists what the actor's user is a member of, by name.
func (s *Service) Organisations(ctx context.Context, actor Actor) ([]Organisation, error) {
	rows, err := s.q().OrganisationsOf(ctx, actor.UserID)
	if err != nil {
		return nil, fmt.Errorf("list organisations: %w", err)
	}
	list := make([]Organisation, len(rows))
	for i, r := range rows {
		list[i] = Organisation{ID: r.ID, Name: r.Name, Slug: r.Slug, Role: Role(r.Role)}
	}
	return list, nil
}

// SwitchOrganisation makes another of the user's organisations the current one
// of this session, and of no other. It fails with fault.NotFound for one that
// he is not a member of, whether it exists or not.
func (s *Service) SwitchOrganisation(ctx context.Context, actor Actor, organisation uuid.UUID) error {
	n, err := s.q().SetSessionOrganisation(ctx, authdb.SetSessionOrganisationParams{
		ID: actor.SessionID, UserID: actor.UserID, OrganisationID: &organisation,
	})
	if err != nil {
		return fmt.Errorf("switch organisation: %w", err)
	}
	if n == 0 {
		return fault.New(fault.NotFound, "You are not a member of such an organisation.")
	}
	return nil
}

// IsDemo reports whether every organisation of the database, if there is any,
// was made by the demo, which refuses to touch another's.
func (s *Service) IsDemo(ctx context.Context) (bool, error) {
	n, err := s.q().CountOrganisations(ctx)
	if err != nil {
		return false, fmt.Errorf("count organisations: %w", err)
	}
	return n.Total == n.Demo, nil
}
