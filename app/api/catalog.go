package api

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
)

// Version is what runs.
type Version struct {
	Version string `json:"version" required:"true"`
	Commit  string `json:"commit" required:"true"`
	Go      string `json:"go" required:"true"`
}

func (a *API) getVersion(ctx, auth.Actor, None) (Version, error) { return a.Version, nil }

// Me is who asks.
type Me struct {
	Name           string   `json:"name" required:"true" description:"E-mail address, or the key's name."`
	UserID         string   `json:"user_id" required:"true" description:"Empty for a key that belongs to no member."`
	KeyID          string   `json:"key_id" required:"true" description:"Empty for a session."`
	OrganisationID string   `json:"organisation_id" required:"true"`
	Role           string   `json:"role" required:"true"`
	PlatformAdmin  bool     `json:"platform_admin" required:"true"`
	Permissions    []string `json:"permissions" required:"true"`
}

func (a *API) getMe(_ ctx, actor auth.Actor, _ None) (Me, error) {
	me := Me{
		Name: actor.Name, UserID: idText(actor.UserID), KeyID: idText(actor.KeyID), OrganisationID: idText(actor.Organisation),
		Role: string(actor.Role), PlatformAdmin: actor.PlatformAdmin, Permissions: []string{},
	}
	for _, p := range append(auth.Permissions(), auth.PlatformOperate) {
		if actor.Can(p) {
			me.Permissions = append(me.Permissions, string(p))
		}
	}
	return me, nil
}

// Organisation is a tenant that whoever asks is a member of.
type Organisation struct {
	ID   uuid.UUID `json:"id" required:"true"`
	Name string    `json:"name" required:"true"`
	Slug string    `json:"slug" required:"true"`
	Role string    `json:"role" required:"true"`
}

func (a *API) getOrganisations(c ctx, actor auth.Actor, _ None) (List[Organisation], error) {
	all, err := a.Auth.Organisations(c, actor)
	if actor.KeyID != uuid.Nil { // a key sees the organisation it was made in
		all = slices.DeleteFunc(all, func(o auth.Organisation) bool { return o.ID != actor.Organisation })
	}
	return listOf(all, func(o auth.Organisation) Organisation {
		return Organisation{o.ID, o.Name, o.Slug, string(o.Role)}
	}), err
}

// Loop is a background loop of one process.
type Loop struct {
	Name          string     `json:"name" required:"true"`
	PeriodSeconds float64    `json:"period_seconds" required:"true"`
	Passes        int64      `json:"passes" required:"true"`
	Failures      int64      `json:"failures" required:"true"`
	Moved         int64      `json:"moved" required:"true"`
	LastAt        *time.Time `json:"last_at,omitempty"`
	LastMillis    float64    `json:"last_ms" required:"true"`
	LastError     string     `json:"last_error" required:"true"`
}

func (a *API) getLoops(ctx, auth.Actor, None) (List[Loop], error) {
	return listOf(a.Loops, func(l *loop.Loop) Loop {
		s := l.Status()
		return Loop{
			s.Name, s.Period.Seconds(), s.Passes, s.Failures, s.Moved, some(s.LastAt), float64(s.LastTook.Microseconds()) / 1000, s.LastErr,
		}
	}), nil
}

// Model is something that can be served.
type Model struct {
	ID             uuid.UUID       `json:"id" required:"true"`
	Name           string          `json:"name" required:"true" description:"The model of a request."`
	Title          string          `json:"title" required:"true"`
	Kind           string          `json:"kind" required:"true" enum:"chat,embedding"`
	RequiredVRAMGB int             `json:"required_vram_gb" required:"true" description:"0: not known."`
	ContextLength  int             `json:"context_length" required:"true" description:"Tokens; 0: not known."`
	VolumeGB       int             `json:"volume_gb" required:"true" description:"Recommended."`
	Simulated      bool            `json:"simulated" required:"true"`
	Engine         json.RawMessage `json:"engine" required:"true" description:"Default engine settings."`
	Active         bool            `json:"active" required:"true" description:"May be chosen for new deployments."`
	Own            bool            `json:"own" required:"true" description:"The organisation's own."`
	Price          *Price          `json:"price,omitempty" description:"In force for this organisation."`
}

// Price is one version of what a model's tokens cost.
type Price struct {
	ID        int64      `json:"id" required:"true"`
	Input     money.EUR  `json:"input" required:"true" description:"EUR per million prompt tokens."`
	Output    money.EUR  `json:"output" required:"true" description:"EUR per million completion tokens."`
	Own       bool       `json:"own" required:"true" description:"Set by this organisation."`
	CreatedBy string     `json:"created_by,omitempty"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
}

func toPrice(p catalog.Price) Price {
	return Price{p.ID, p.Input, p.Output, p.Organisation != uuid.Nil, p.CreatedBy, some(p.CreatedAt)}
}

func toModel(m catalog.Model) Model {
	out := Model{
		ID: m.ID, Name: m.Name, Title: m.Title, Kind: string(m.Kind), RequiredVRAMGB: m.RequiredVRAMGB, ContextLength: m.ContextLength,
		VolumeGB: catalog.RecommendedVolumeGB(m.Name, m.VolumeGB), Simulated: m.Simulated, Engine: m.Engine, Active: m.Active,
		Own: m.Organisation != uuid.Nil,
	}
	if m.Price.ID != 0 {
		p := toPrice(m.Price)
		out.Price = &p
	}
	return out
}

func (a *API) getModels(c ctx, actor auth.Actor, _ None) (List[Model], error) {
	all, err := a.Catalog.Models(c, actor.Organisation)
	return listOf(all, toModel), err
}

// modelRef names a model by id or name; the slashes of a name are encoded.
type modelRef struct {
	Ref string `path:"ref" json:"-" description:"Id or name; the slashes of a name are written %2F."`
}

func (a *API) getModel(c ctx, actor auth.Actor, in modelRef) (Model, error) {
	m, err := a.Catalog.Model(c, actor.Organisation, in.Ref)
	return toModel(m), err
}

func (a *API) getPrices(c ctx, actor auth.Actor, in modelRef) (List[Price], error) {
	all, err := a.Catalog.Prices(c, actor.Organisation, in.Ref)
	return listOf(all, toPrice), err
}

type newModel struct {
	Name           string          `json:"name" required:"true"`
	Title          string          `json:"title"`
	Kind           string          `json:"kind" enum:"chat,embedding" default:"chat"`
	RequiredVRAMGB int             `json:"required_vram_gb" description:"Needed unless the model is simulated."`
	ContextLength  int             `json:"context_length"`
	VolumeGB       int             `json:"volume_gb"`
	Simulated      bool            `json:"simulated"`
	Engine         json.RawMessage `json:"engine"`
	Input          money.EUR       `json:"input" description:"EUR per million prompt tokens."`
	Output         money.EUR       `json:"output" description:"EUR per million completion tokens."`
}

func (a *API) postModel(c ctx, actor auth.Actor, in newModel) (Model, error) {
	m, err := a.Catalog.AddModel(c, actor, catalog.NewModel{
		Name: in.Name, Title: in.Title, Kind: catalog.Kind(in.Kind), RequiredVRAMGB: in.RequiredVRAMGB, ContextLength: in.ContextLength,
		VolumeGB: in.VolumeGB, Simulated: in.Simulated, Engine: in.Engine, Input: in.Input, Output: in.Output,
	})
	return toModel(m), err
}

type newPrice struct {
	Ref    string    `path:"ref" json:"-" description:"Id or name; the slashes of a name are written %2F."`
	Input  money.EUR `json:"input" required:"true" description:"EUR per million prompt tokens."`
	Output money.EUR `json:"output" required:"true" description:"EUR per million completion tokens."`
}

func (a *API) putPrice(c ctx, actor auth.Actor, in newPrice) (Model, error) {
	m, err := a.Catalog.SetPrice(c, actor, in.Ref, in.Input, in.Output)
	return toModel(m), err
}

// Offer is a machine type in a zone of a provider.
type Offer struct {
	Offer         string     `json:"offer" required:"true" description:"provider/zone/type."`
	Provider      string     `json:"provider" required:"true"`
	Zone          string     `json:"zone" required:"true"`
	Type          string     `json:"type" required:"true"`
	PricePerHour  money.EUR  `json:"price_per_hour" required:"true" description:"EUR, taxes, volumes and addresses excluded."`
	Stock         string     `json:"stock" required:"true" enum:"available,scarce,out,unknown"`
	CheckedAt     *time.Time `json:"checked_at,omitempty" description:"When the provider told price and stock."`
	GPU           string     `json:"gpu" required:"true"`
	GPUCount      int        `json:"gpu_count" required:"true"`
	GPUVRAMGB     int        `json:"gpu_vram_gb" required:"true" description:"Of one GPU."`
	CPUCount      int        `json:"cpu_count" required:"true"`
	RAMGB         int        `json:"ram_gb" required:"true"`
	BandwidthMbps int        `json:"bandwidth_mbps" required:"true"`
}

type offerFilter struct {
	Model string `query:"model" json:"-" description:"Id or name: only offers on which it can run, cheapest first."`
}

func (a *API) getOffers(c ctx, actor auth.Actor, in offerFilter) (List[Offer], error) {
	offers, err := a.offers(c, actor, in.Model)
	offers = slices.DeleteFunc(offers, func(o catalog.Offer) bool { return !o.Active || !slices.Contains(a.Providers, o.Provider) })
	return listOf(offers, func(o catalog.Offer) Offer {
		var checked *time.Time
		if o.CheckedAt.Unix() != 0 {
			checked = utc(&o.CheckedAt)
		}
		return Offer{
			o.Ref(), o.Provider, o.Zone, o.Type, o.PricePerHour, string(o.Stock), checked, o.GPU, o.GPUCount, o.GPUVRAMGB,
			o.CPUCount, o.RAMGB, o.BandwidthMbps,
		}
	}), err
}

func (a *API) offers(c ctx, actor auth.Actor, model string) ([]catalog.Offer, error) {
	if model == "" {
		return a.Catalog.Offers(c)
	}
	m, err := a.Catalog.Model(c, actor.Organisation, model)
	if err != nil {
		return nil, err
	}
	return a.Catalog.OffersFor(c, m)
}
