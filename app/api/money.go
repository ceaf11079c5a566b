package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
)

type periodQuery struct {
	From time.Time `query:"from" json:"-" description:"Since the first of the month, when it is left out."`
	To   time.Time `query:"to" json:"-" description:"Until now, when it is left out."`
}

// Usage is what the requests of a period used.
type Usage struct {
	From             time.Time `json:"from" required:"true"`
	To               time.Time `json:"to" required:"true"`
	Requests         int64     `json:"requests" required:"true"`
	Interrupted      int64     `json:"interrupted" required:"true" description:"Of these, those whose answer was not whole."`
	PromptTokens     int64     `json:"prompt_tokens" required:"true"`
	CompletionTokens int64     `json:"completion_tokens" required:"true"`
	Cost             money.EUR `json:"cost" required:"true" description:"EUR."`
}

func (a *API) getUsage(c ctx, actor auth.Actor, in periodQuery) (Usage, error) {
	from, to, err := period(in.From, in.To)
	if err != nil {
		return Usage{}, err
	}
	u, err := a.Gateway.Summary(c, actor, from, to)
	return Usage{from, to, u.Requests, u.Interrupted, u.PromptTokens, u.CompletionTokens, u.Cost}, err
}

// Costs is what the organisation's machines cost now and this month.
type Costs struct {
	At          time.Time `json:"at" required:"true"`
	BurnRate    money.EUR `json:"burn_rate" required:"true" description:"EUR per hour."`
	MonthToDate money.EUR `json:"month_to_date" required:"true" description:"EUR since the first of the month, UTC."`
	Forecast    money.EUR `json:"forecast" required:"true" description:"EUR for the whole month, if nothing changes."`
}

func (a *API) getCosts(c ctx, actor auth.Actor, _ None) (Costs, error) {
	o, err := a.Finops.Overview(c, actor)
	return Costs{o.At.UTC(), o.BurnRate, o.MonthToDate, o.Forecast}, err
}

// Charge is a priced interval of one resource.
type Charge struct {
	ID           uuid.UUID  `json:"id" required:"true"`
	InstanceID   uuid.UUID  `json:"instance_id" required:"true"`
	Instance     string     `json:"instance" required:"true"`
	Model        string     `json:"model" required:"true"`
	Provider     string     `json:"provider" required:"true"`
	Zone         string     `json:"zone" required:"true"`
	Kind         string     `json:"kind" required:"true" enum:"server,volume,address"`
	Description  string     `json:"description" required:"true"`
	PricePerHour money.EUR  `json:"price_per_hour" required:"true"`
	StartedAt    time.Time  `json:"started_at" required:"true"`
	EndedAt      *time.Time `json:"ended_at,omitempty"`
	Amount       money.EUR  `json:"amount" required:"true" description:"EUR, of the part in the period, until now."`
}

func (a *API) getCharges(c ctx, actor auth.Actor, in periodQuery) (List[Charge], error) {
	from, to, err := period(in.From, in.To)
	if err != nil {
		return List[Charge]{}, err
	}
	all, err := a.Finops.Charges(c, actor, from, to)
	until := to
	if now := time.Now(); now.Before(until) {
		until = now
	}
	return listOf(all, func(f finops.Charge) Charge {
		return Charge{
			f.ID, f.InstanceID, f.Instance, f.Model, f.Provider, f.Zone, f.Kind, f.Description, f.PricePerHour,
			f.StartedAt.UTC(), some(f.EndedAt), max(0, f.Between(from, until)),
		}
	}), err
}

// Day is what one day, in UTC, cost.
type Day struct {
	Date    string               `json:"date" required:"true" description:"2026-01-31."`
	Amount  money.EUR            `json:"amount" required:"true" description:"EUR."`
	ByModel map[string]money.EUR `json:"by_model" required:"true" description:"EUR."`
}

func (a *API) getDays(c ctx, actor auth.Actor, in periodQuery) (List[Day], error) {
	from, to, err := period(in.From, in.To)
	if err != nil {
		return List[Day]{}, err
	}
	all, err := a.Finops.Days(c, actor, from.Truncate(24*time.Hour), to)
	return listOf(all, func(d finops.Day) Day { return Day{d.Date.Format(time.DateOnly), d.Total, d.ByModel} }), err
}
