package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// Alias is a name of an organisation's own for a model.
type Alias struct {
	Name, Model string
	CreatedBy   string
	CreatedAt   time.Time
}

const maxAlias = 200

// Aliases lists the aliases of the actor's organisation by name.
func (s *Service) Aliases(ctx context.Context, actor auth.Actor) ([]Alias, error) {
	if err := auth.Need(actor, auth.EndpointsView); err != nil {
		return nil, err
	}
	rows, err := gatewaydb.New(s.pool).Aliases(ctx, actor.Organisation)
	if err != nil {
		return nil, fmt.Errorf("list aliases: %w", err)
	}
	list := make([]Alias, len(rows))
	for i, r := range rows {
		list[i] = Alias{Name: r.Name, Model: r.Model, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt}
	}
	return list, nil
}

// AddAlias lets requests ask for a model, given by id or name, by another name.
// A model of that name, once there is one, goes before the alias. It fails with
// fault.Invalid for a name that cannot be, with fault.NotFound for a model that
// is not there, and with fault.Conflict for a name that is taken, be it by a
// model.
func (s *Service) AddAlias(ctx context.Context, actor auth.Actor, name, model string) (Alias, error) {
	if err := auth.Need(actor, auth.EndpointsEdit); err != nil {
		return Alias{}, err
	}
	if name == "" || len(name) > maxAlias || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) {
		return Alias{}, fault.New(fault.Invalid, "An alias has 1 to 200 visible characters and no spaces.").WithField("name")
	}
	taken := func(by string) error {
		return fault.Newf(fault.Conflict, "There is %s named %s already.", by, name).WithField("name")
	}
	target, _, err := s.models.Named(ctx, actor.Organisation, model)
	if err != nil {
		return Alias{}, err //nolint:wrapcheck // a sentence for people
	}
	switch _, _, err := s.models.Named(ctx, actor.Organisation, name); {
	case err == nil:
		return Alias{}, taken("a model")
	case !fault.Is(err, fault.NotFound):
		return Alias{}, fmt.Errorf("add alias: %w", err)
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := gatewaydb.New(tx).InsertAlias(ctx, gatewaydb.InsertAliasParams{
			OrganisationID: actor.Organisation, Name: name, Model: target, CreatedBy: actor.Ref(),
		}); err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		return s.aliasChanged(ctx, tx, actor, "alias.add", name, target)
	})
	if db.IsUnique(err, "aliases_pkey") {
		return Alias{}, taken("an alias")
	}
	if err != nil {
		return Alias{}, fmt.Errorf("add alias: %w", err)
	}
	return Alias{Name: name, Model: target, CreatedBy: actor.Ref(), CreatedAt: time.Now()}, nil
}

// RemoveAlias makes requests for an alias fail from now on. It fails with
// fault.NotFound when there is none.
func (s *Service) RemoveAlias(ctx context.Context, actor auth.Actor, name string) error {
	if err := auth.Need(actor, auth.EndpointsEdit); err != nil {
		return err
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		model, err := gatewaydb.New(tx).DeleteAlias(ctx, gatewaydb.DeleteAliasParams{OrganisationID: actor.Organisation, Name: name})
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "There is no such alias.")
		}
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		return s.aliasChanged(ctx, tx, actor, "alias.remove", name, model)
	})
	if err != nil {
		return fmt.Errorf("remove alias: %w", err)
	}
	return nil
}

func (s *Service) aliasChanged(ctx context.Context, tx pgx.Tx, actor auth.Actor, action, name, model string) error {
	if err := auth.Audit(ctx, tx, actor, action, name, map[string]any{"model": model}); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := events.Post(ctx, tx, events.Event{Topic: events.Model, Key: model, Organisation: actor.Organisation}); err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	return nil
}

// alias is a route by another name.
type alias struct {
	name  string
	route *route
}

// setAliases makes the routes known by their other names, too. An alias of a
// model that has no route leads nowhere.
func (t *table) setAliases(rows []gatewaydb.AllAliasesRow) {
	t.aliases = make(map[routeKey]*alias, len(rows))
	for _, row := range rows {
		r := t.routes[routeKey{row.OrganisationID, row.Model}]
		if r == nil || t.routes[routeKey{row.OrganisationID, row.Name}] != nil {
			continue
		}
		a := &alias{name: row.Name, route: r}
		t.aliases[routeKey{row.OrganisationID, row.Name}] = a
		r.aliases = append(r.aliases, a)
	}
}

// aliased returns the route that the request names by an alias, nil if it names
// none, and sees to it that the answer carries the same name.
func (x *exchange) aliased(t *table) *route {
	a := t.aliases[routeKey{x.caller.Organisation, string(x.head.Model)}]
	if a == nil {
		return nil
	}
	if x.words == nil {
		x.words = new(words)
	}
	x.words.rename, x.words.asked = openai.NewRenamer(a.name), a.name
	return a.route
}

// byAlias reports whether the answer is to carry an alias.
func (x *exchange) byAlias() bool { return x.words != nil && x.words.rename != nil }

// unalias lets the answer carry the name of the model that answers.
func (x *exchange) unalias() {
	if x.words != nil {
		x.words.rename = nil
	}
}
