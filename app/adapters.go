package app

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// Each adapter lets one module ask another in its own words.

// deployable tells instance what the catalogue knows.
type deployable struct{ catalog *catalog.Service }

func (d deployable) Model(ctx context.Context, organisation uuid.UUID, idOrName string) (instance.Model, error) {
	m, err := d.catalog.Model(ctx, organisation, idOrName)
	if err != nil {
		return instance.Model{}, err //nolint:wrapcheck // a sentence for people
	}
	return instance.Model{
		ID: m.ID, Name: m.Name, Kind: string(m.Kind), VRAMGB: m.RequiredVRAMGB, Simulated: m.Simulated, Engine: m.Engine,
		VolumeGB: catalog.RecommendedVolumeGB(m.Name, m.VolumeGB),
	}, nil
}

func (d deployable) Offers(ctx context.Context) ([]instance.Offer, error) {
	offers, err := d.catalog.Offers(ctx)
	list := make([]instance.Offer, 0, len(offers))
	for _, o := range offers {
		if o.Active {
			list = append(list, instance.Offer{
				Ref: instance.OfferRef{Provider: o.Provider, Zone: o.Zone, Type: o.Type}, VRAMGB: o.VRAMGB(), PricePerHour: o.PricePerHour,
				Stock: instance.Stock(o.Stock),
			})
		}
	}
	return list, err //nolint:wrapcheck // says enough
}

func (d deployable) Refresh(ctx context.Context, provider string, offers []instance.ProviderOffer) error {
	list := make([]catalog.Offer, len(offers))
	for i, o := range offers {
		list[i] = catalog.Offer{Provider: provider, Zone: o.Zone, Type: o.Type, PricePerHour: o.PricePerHour, Stock: catalog.Stock(o.Stock), Active: true}
	}
	_, err := d.catalog.UpsertOffers(ctx, list)
	return err //nolint:wrapcheck // says enough
}

// billed tells finops what instances cost.
type billed struct{ instances *instance.Service }

func (b billed) Resources(ctx context.Context, since time.Time) ([]finops.Resource, error) {
	resources, err := b.instances.Resources(ctx, since)
	list := make([]finops.Resource, len(resources))
	for i, r := range resources {
		list[i] = finops.Resource{
			ID: r.ID, Organisation: r.Organisation, InstanceID: r.InstanceID, Instance: r.Instance, Model: r.Model,
			Provider: r.Provider, Zone: r.Zone, Kind: string(r.Kind), Description: r.Description, PricePerHour: r.PricePerHour, CreatedAt: r.CreatedAt,
			UpdatedAt: r.UpdatedAt,
		}
		if r.GoneAt != nil {
			list[i].GoneAt = *r.GoneAt
		}
	}
	return list, err //nolint:wrapcheck // says enough
}

// routed tells the gateway where models are served.
type routed struct{ instances *instance.Service }

func (r routed) Routes(ctx context.Context) ([]gateway.Replica, []gateway.Sleeping, error) {
	routes, asleep, err := r.instances.Routes(ctx)
	replicas, sleeping := make([]gateway.Replica, len(routes)), make([]gateway.Sleeping, len(asleep))
	for i, v := range routes {
		replicas[i] = gateway.Replica{
			ID: v.ID, Organisation: v.Organisation, Model: v.Model, Name: v.Name, Embeds: v.Kind == "embedding",
			Gauges: balance.Gauges{At: v.ReportedAt, Running: v.Running, Waiting: v.Waiting, Cache: v.KVCache, Generated: v.Generated},
		}
	}
	for i, v := range asleep {
		sleeping[i] = gateway.Sleeping(v)
	}
	return replicas, sleeping, err //nolint:wrapcheck // says enough
}

func (r routed) Wake(ctx context.Context, actor auth.Actor, model string) (bool, error) {
	return r.instances.Wake(ctx, actor, model) //nolint:wrapcheck // says enough
}

func (r routed) Used(ctx context.Context, replicas []uuid.UUID) error {
	return r.instances.Used(ctx, replicas) //nolint:wrapcheck // says enough
}

func (r routed) Open(id uuid.UUID) (upstream.Conn, error) {
	stream, err := r.instances.Open(id)
	if err != nil {
		return nil, err //nolint:wrapcheck // says enough
	}
	return stream, nil
}

// priced tells the gateway what tokens cost.
type priced struct{ catalog *catalog.Service }

func (p priced) PriceBook(ctx context.Context) ([]gateway.Price, error) {
	prices, err := p.catalog.PriceBook(ctx)
	list := make([]gateway.Price, len(prices))
	for i, v := range prices {
		list[i] = gateway.Price{ID: v.ID, Organisation: v.Organisation, Model: v.Model, Input: v.Input, Output: v.Output}
	}
	return list, err //nolint:wrapcheck // says enough
}
