package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
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

type recordQuery struct {
	From   time.Time `query:"from" json:"-" description:"Since the first of the month, when it is left out."`
	To     time.Time `query:"to" json:"-" description:"Until now, when it is left out."`
	Model  string    `query:"model" json:"-"`
	Key    uuid.UUID `query:"key" json:"-" description:"Id of an API key."`
	Status string    `query:"status" json:"-" enum:"completed,interrupted"`
	Limit  int       `query:"limit" json:"-" minimum:"1" maximum:"1000" default:"100"`
	Cursor string    `query:"cursor" json:"-" description:"next_cursor of the page before."`
}

// Records is a page of metered requests.
type Records struct {
	Items      []Record `json:"items" required:"true"`
	NextCursor string   `json:"next_cursor" required:"true" description:"Of the next page; empty after the last."`
}

// Record is one metered request.
type Record struct {
	RequestID        uuid.UUID `json:"request_id" required:"true"`
	StartedAt        time.Time `json:"started_at" required:"true"`
	Model            string    `json:"model" required:"true"`
	Path             string    `json:"path" required:"true"`
	KeyID            string    `json:"key_id" required:"true" description:"Empty for the playground."`
	UserID           string    `json:"user_id" required:"true"`
	UpstreamID       uuid.UUID `json:"upstream_id" required:"true"`
	Upstream         string    `json:"upstream" required:"true" enum:"instance,endpoint"`
	Status           string    `json:"status" required:"true" enum:"completed,interrupted"`
	HTTPStatus       int       `json:"http_status" required:"true" description:"What the client was sent; 0: nothing."`
	Error            string    `json:"error" required:"true"`
	Streamed         bool      `json:"streamed" required:"true"`
	PromptTokens     int64     `json:"prompt_tokens" required:"true"`
	CompletionTokens int64     `json:"completion_tokens" required:"true"`
	CachedTokens     int64     `json:"cached_tokens" required:"true"`
	UsageSource      string    `json:"usage_source" required:"true" enum:"engine,counted,none"`
	PriceID          int64     `json:"price_id" required:"true" description:"Version of the price; 0: the model had none."`
	InputPrice       money.EUR `json:"input_price" required:"true" description:"EUR per million tokens."`
	OutputPrice      money.EUR `json:"output_price" required:"true" description:"EUR per million tokens."`
	Cost             money.EUR `json:"cost" required:"true" description:"EUR."`
	FirstTokenMillis *float64  `json:"first_token_ms,omitempty"`
	DurationMillis   float64   `json:"duration_ms" required:"true"`
}

func toRecord(r gateway.Record) Record {
	out := Record{
		RequestID: r.RequestID, StartedAt: r.StartedAt.UTC(), Model: r.Model, Path: r.Path, KeyID: idText(r.KeyID), UserID: idText(r.UserID),
		UpstreamID: r.UpstreamID, Upstream: "instance", Status: r.Status, HTTPStatus: r.HTTPStatus, Error: r.Error, Streamed: r.Streamed,
		PromptTokens: r.PromptTokens, CompletionTokens: r.CompletionTokens, CachedTokens: r.CachedTokens, UsageSource: r.UsageSource,
		PriceID: r.PriceID, InputPrice: r.InputPrice, OutputPrice: r.OutputPrice, Cost: r.Cost, DurationMillis: millis(r.Duration),
	}
	if r.Endpoint {
		out.Upstream = "endpoint"
	}
	if r.FirstToken > 0 {
		ms := millis(r.FirstToken)
		out.FirstTokenMillis = &ms
	}
	return out
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (a *API) getRecords(c ctx, actor auth.Actor, in recordQuery) (Records, error) {
	from, to, err := period(in.From, in.To)
	if err != nil {
		return Records{}, err
	}
	before, err := readCursor(in.Cursor)
	if err != nil {
		return Records{}, err
	}
	all, err := a.Gateway.Records(c, actor, gateway.RecordFilter{
		From: from, To: to, KeyID: in.Key, Model: in.Model, Status: in.Status, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return Records{}, err
	}
	page := Records{Items: listOf(all, toRecord).Items}
	if len(all) == in.Limit {
		page.NextCursor = cursor(all[len(all)-1])
	}
	return page, nil
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
