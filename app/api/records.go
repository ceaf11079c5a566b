package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
)

type recordQuery struct {
	From   time.Time `query:"from" json:"-" description:"Since the first of the month, when it is left out."`
	To     time.Time `query:"to" json:"-" description:"Until now, when it is left out."`
	Model  string    `query:"model" json:"-" description:"That answered, or the alias or model that was asked for."`
	Key    uuid.UUID `query:"key" json:"-" description:"Id of an API key."`
	Member uuid.UUID `query:"member" json:"-" description:"Id of a member: one's own, or anybody's for those who may see everybody's usage."`
	Status string    `query:"status" json:"-" enum:"completed,interrupted"`
	Error  string    `query:"error" json:"-" pattern:"^[a-z_]{1,64}$" description:"Code of an error, such as client_gone."`
	Path   string    `query:"path" json:"-" enum:"/v1/chat/completions,/v1/completions,/v1/detokenize,/v1/embeddings,/v1/messages,/v1/messages/count_tokens,/v1/rerank,/v1/responses,/v1/responses/input_tokens,/v1/score,/v1/tokenize"`
	// Instances and endpoints have different ids, so that one parameter will do.
	Upstream      uuid.UUID `query:"upstream" json:"-" description:"Id of the instance or the endpoint that answered."`
	MinDuration   int       `query:"min_duration_ms" json:"-" minimum:"0" maximum:"86400000" description:"That took at least so long."`
	MinFirstToken int       `query:"min_first_token_ms" json:"-" minimum:"0" maximum:"86400000" description:"Whose first token took at least so long."`
	Retried       string    `query:"retried" json:"-" enum:"true,false" description:"That a first server did not take, or that the first one did."`
	RequestID     uuid.UUID `query:"request_id" json:"-" description:"The x-request-id of an answer. It finds that request whenever it was, and goes with no other filter."`
	Limit         int       `query:"limit" json:"-" minimum:"1" maximum:"1000" default:"100"`
	Cursor        string    `query:"cursor" json:"-" description:"next_cursor of the page before."`
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
	Model            string    `json:"model" required:"true" description:"That answered."`
	Asked            string    `json:"asked" required:"true" description:"The alias or the other model that was asked for; empty when it was the one that answered."`
	Path             string    `json:"path" required:"true"`
	KeyID            string    `json:"key_id" required:"true" description:"Empty for the playground."`
	UserID           string    `json:"user_id" required:"true"`
	UpstreamID       uuid.UUID `json:"upstream_id" required:"true"`
	Upstream         string    `json:"upstream" required:"true" enum:"instance,endpoint"`
	Retried          bool      `json:"retried" required:"true" description:"A first server did not take the request; upstream_id is the one that was asked then."`
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
		RequestID: r.RequestID, StartedAt: r.StartedAt.UTC(), Model: r.Model, Asked: r.Asked, Path: r.Path, KeyID: idText(r.KeyID), UserID: idText(r.UserID),
		UpstreamID: r.UpstreamID, Upstream: "instance", Status: r.Status, HTTPStatus: r.HTTPStatus, Error: r.Error, Streamed: r.Streamed, Retried: r.Retried,
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
	if in.RequestID != uuid.Nil {
		return a.findRecord(c, actor, in)
	}
	from, to, err := period(in.From, in.To)
	if err != nil {
		return Records{}, err
	}
	before, err := readCursor(in.Cursor)
	if err != nil {
		return Records{}, err
	}
	var retried *bool
	if in.Retried != "" {
		retried = new(in.Retried == "true")
	}
	all, err := a.Gateway.Records(c, actor, gateway.RecordFilter{
		From: from, To: to, KeyID: in.Key, UserID: in.Member, UpstreamID: in.Upstream, Model: in.Model, Path: in.Path, Status: in.Status,
		Error: in.Error, MinDuration: ofMillis(in.MinDuration), MinFirstToken: ofMillis(in.MinFirstToken), Retried: retried, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return Records{}, err
	}
	page := Records{Items: listOf(all, toRecord).Items}
	if len(all) == in.Limit {
		page.NextCursor = all[len(all)-1].Position().String()
	}
	return page, nil
}

// findRecord answers with the one request that was asked for, or none.
func (a *API) findRecord(c ctx, actor auth.Actor, in recordQuery) (Records, error) {
	if in != (recordQuery{RequestID: in.RequestID, Limit: in.Limit}) {
		return Records{}, badParameter("request_id", "it finds one request by itself; leave the other filters out")
	}
	r, err := a.Gateway.Record(c, actor, in.RequestID)
	if fault.Is(err, fault.NotFound) {
		return Records{Items: []Record{}}, nil
	}
	return Records{Items: []Record{toRecord(r)}}, err
}

func ofMillis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
