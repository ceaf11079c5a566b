package gateway

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
)

const maxFallbacks = 8

// SetFallback names the models that answer for another one, in order, while no
// replica of it is ready; none end that. The model and its fallbacks are given
// by id or name. It fails with fault.NotFound for a model that is not there, and
// with fault.Invalid for a list that cannot be: vectors of two embedding models
// cannot stand for each other, and no model for itself.
func (s *Service) SetFallback(ctx context.Context, actor auth.Actor, ref string, models []string) (Route, error) {
	if err := auth.Need(actor, auth.EndpointsEdit); err != nil {
		return Route{}, err
	}
	wrong := func(what string) error { return fault.New(fault.Invalid, what).WithField("models") }
	model, embeds, err := s.models.Named(ctx, actor.Organisation, ref)
	if fault.Is(err, fault.NotFound) && len(models) == 0 {
		model, err = ref, nil // the catalogue may have lost a model that has a fallback
	}
	switch {
	case err != nil:
		return Route{}, err
	case embeds && len(models) > 0:
		return Route{}, wrong("An embedding model has no fallback: another model's vectors mean something else.")
	case len(models) > maxFallbacks:
		return Route{}, wrong("A model has at most 8 fallbacks.")
	}
	names := make([]string, 0, len(models))
	for _, m := range models {
		name, embeds, err := s.models.Named(ctx, actor.Organisation, m)
		switch {
		case err != nil:
			return Route{}, err
		case embeds:
			return Route{}, wrong("The model " + name + " makes embeddings and cannot answer for another.")
		case name == model || slices.Contains(names, name):
			return Route{}, wrong("A model is no fallback of itself, and none is named twice.")
		}
		names = append(names, name)
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := gatewaydb.New(tx)
		if len(names) == 0 {
			err = q.DeleteFallback(ctx, gatewaydb.DeleteFallbackParams{OrganisationID: actor.Organisation, Model: model})
		} else {
			err = q.SetFallback(ctx, gatewaydb.SetFallbackParams{
				OrganisationID: actor.Organisation, Model: model, Models: names, ChangedBy: actor.Ref(),
			})
		}
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		if err := auth.Audit(ctx, tx, actor, "model.fallback", model, map[string]any{"models": names}); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		return events.Post(ctx, tx, events.Event{Topic: events.Model, Key: model, Organisation: actor.Organisation}) //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return Route{}, fmt.Errorf("set the fallback: %w", err)
	}
	r := s.seen(s.table.Load().routes[routeKey{actor.Organisation, model}], model)
	r.Fallbacks = names // the table follows in a moment
	return r, nil
}

// Fallbacks returns the fallbacks of the models that have some, by model.
func (s *Service) Fallbacks(ctx context.Context, actor auth.Actor) (map[string][]string, error) {
	if err := auth.Need(actor, auth.EndpointsView); err != nil {
		return nil, err
	}
	rows, err := gatewaydb.New(s.pool).Fallbacks(ctx, actor.Organisation)
	if err != nil {
		return nil, fmt.Errorf("list fallbacks: %w", err)
	}
	all := make(map[string][]string, len(rows))
	for _, r := range rows {
		all[r.Model] = r.Models
	}
	return all, nil
}

// setFallbacks puts the fallbacks on the routes. A model that is served nowhere
// has a route if it has a fallback.
func (t *table) setFallbacks(rows []gatewaydb.AllFallbacksRow) {
	for _, row := range rows {
		r := t.route(row.OrganisationID, row.Model)
		for _, m := range row.Models {
			r.fallbacks = append(r.fallbacks, m)
			if other := t.routes[routeKey{row.OrganisationID, m}]; other != nil {
				r.instead = append(r.instead, other)
			}
		}
	}
}

// whoAnswers returns the route that the request takes: that of the model asked
// for, or the first fallback that is ready while it is not. One that sleeps is
// woken all the same; of a fallback that sleeps that is said only if nothing else
// can answer.
func (x *exchange) whoAnswers() *route {
	if len(x.wanted.instead) == 0 || x.wanted.set.Usable(x.moment()) {
		return x.wanted
	}
	other := x.standIn()
	switch {
	case other == nil && len(x.wanted.targets) == 0 && !x.wanted.wakes():
		other = x.firstOther((*route).wakes)
	case other != nil && x.wanted.wakes():
		x.rouse(x.wanted)
	}
	if other == nil {
		return x.wanted
	}
	x.service.metrics.fallbacks.Inc()
	return other
}

// standIn returns the first route that can answer for the one asked for, or nil.
func (x *exchange) standIn() *route {
	now := x.moment()
	return x.firstOther(func(r *route) bool { return r.set.Usable(now) })
}

// firstOther returns the first fallback of which ok is true, and which the
// caller may use.
func (x *exchange) firstOther(ok func(*route) bool) *route {
	if !x.kind.Generates() {
		return nil
	}
	for _, other := range x.wanted.instead {
		if ok(other) && x.let.allows(other.model) {
			return other
		}
	}
	return nil
}

// fallBack turns a request that the only replica of the model did not take into
// one for its fallback, and returns where that goes; nil if there is none.
func (x *exchange) fallBack(tried *route) *target {
	way := x.standIn()
	if way == nil || tried != x.wanted {
		return nil
	}
	x.service.metrics.fallbacks.Inc()
	x.body = x.head.Body(x.client, x.nameFor(way))
	x.priceAs(way)
	return x.pick(way, nil)
}

// nameFor returns the model's name as the request must carry it on this way; nil
// if that is as the client wrote it. Where another model answers, the client is
// told which: an alias stands for the model wanted alone.
func (x *exchange) nameFor(way *route) []byte {
	switch {
	case way != x.wanted:
		x.unalias()
	case !x.byAlias():
		return nil
	}
	return way.quoted
}
