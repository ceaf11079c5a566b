package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// Limits are what a key, a member or the organisation may use. What is left
// out is not limited.
type Limits struct {
	Level             string     `json:"level" required:"true" enum:"key,member,organisation"`
	ID                uuid.UUID  `json:"id" required:"true" description:"Of the key, the user or the organisation."`
	RequestsPerMinute int64      `json:"requests_per_minute,omitempty"`
	TokensPerMinute   int64      `json:"tokens_per_minute,omitempty" description:"Of prompts and answers."`
	Concurrency       int64      `json:"concurrency,omitempty" description:"Requests in progress at once."`
	MaxTokens         int64      `json:"max_tokens,omitempty" description:"That one request may have generated."`
	Models            []string   `json:"models,omitempty" description:"The only models that may be called."`
	Budget            money.EUR  `json:"budget,omitzero"`
	Period            string     `json:"period,omitempty" enum:"day,month" description:"Of the budget; in UTC."`
	Spent             money.EUR  `json:"spent,omitzero" description:"In this period."`
	Reserved          money.EUR  `json:"reserved,omitzero" description:"Of the budget: set aside by gateways for requests."`
	ResetsAt          *time.Time `json:"resets_at,omitempty" description:"When the next period begins."`
}

func toLimits(l gateway.Limited) Limits {
	out := Limits{
		Level: string(l.Level), ID: l.ID, RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: l.TokensPerMinute, Concurrency: l.Concurrency,
		MaxTokens: l.MaxTokens, Models: l.Models,
	}
	if l.Budget > 0 {
		_, end := l.Period.Around(time.Now())
		out.Budget, out.Period, out.Spent, out.Reserved, out.ResetsAt = l.Budget, string(l.Period), l.Spent, l.Reserved, &end
	}
	return out
}

func (a *API) getLimits(c ctx, actor auth.Actor, _ None) (List[Limits], error) {
	all, err := a.Gateway.Limits(c, actor)
	return listOf(all, toLimits), err
}

// newLimits replaces all limits of a subject.
type newLimits struct {
	RequestsPerMinute int64    `json:"requests_per_minute" minimum:"0"`
	TokensPerMinute   int64    `json:"tokens_per_minute" minimum:"0"`
	Concurrency       int64    `json:"concurrency" minimum:"0"`
	MaxTokens         int64    `json:"max_tokens" minimum:"0"`
	Models            []string `json:"models" description:"All, when it is left out or empty."`
	Budget            string   `json:"budget" description:"EUR, from 0.01; no budget when it is left out."`
	Period            string   `json:"period" enum:"day,month" description:"Of the budget; month when it is left out."`
}

func (n newLimits) settings() (limit.Settings, error) {
	s := limit.Settings{
		RequestsPerMinute: n.RequestsPerMinute, TokensPerMinute: n.TokensPerMinute, Concurrency: n.Concurrency, MaxTokens: n.MaxTokens,
		Models: n.Models, Period: limit.Period(n.Period),
	}
	var err error
	if n.Budget != "" {
		if s.Budget, err = money.Parse(n.Budget); err != nil {
			return s, fault.New(fault.Invalid, "A budget is an amount from 0.01 to 1000000000 EUR.").
				WithFix("Write it as 25.00.").WithField("budget").WithCause(err)
		}
	}
	return s, nil
}

func (a *API) setLimits(c ctx, actor auth.Actor, level limit.Level, id uuid.UUID, n newLimits) (Limits, error) {
	settings, err := n.settings()
	if err != nil {
		return Limits{}, err
	}
	l, err := a.Gateway.SetLimits(c, actor, level, id, settings)
	return toLimits(l), err
}

func (a *API) limitsOf(c ctx, actor auth.Actor, level limit.Level, id uuid.UUID) (Limits, error) {
	l, err := a.Gateway.LimitsOf(c, actor, level, id)
	return toLimits(l), err
}

type newKeyLimits struct {
	newLimits

	ID uuid.UUID `path:"id" json:"-"`
}

func (a *API) getKeyLimits(c ctx, actor auth.Actor, in keyRef) (Limits, error) {
	return a.limitsOf(c, actor, limit.Key, in.ID)
}

func (a *API) putKeyLimits(c ctx, actor auth.Actor, in newKeyLimits) (Limits, error) {
	return a.setLimits(c, actor, limit.Key, in.ID, in.newLimits)
}

type newMemberLimits struct {
	newLimits

	ID uuid.UUID `path:"id" json:"-"`
}

func (a *API) getMemberLimits(c ctx, actor auth.Actor, in memberRef) (Limits, error) {
	return a.limitsOf(c, actor, limit.Member, in.ID)
}

func (a *API) putMemberLimits(c ctx, actor auth.Actor, in newMemberLimits) (Limits, error) {
	return a.setLimits(c, actor, limit.Member, in.ID, in.newLimits)
}

func (a *API) getOrganisationLimits(c ctx, actor auth.Actor, _ None) (Limits, error) {
	return a.limitsOf(c, actor, limit.Organisation, actor.Organisation)
}

func (a *API) putOrganisationLimits(c ctx, actor auth.Actor, in newLimits) (Limits, error) {
	return a.setLimits(c, actor, limit.Organisation, actor.Organisation, in)
}

type newNetworks struct {
	ID       uuid.UUID `path:"id" json:"-"`
	Networks []string  `json:"networks" required:"true" description:"Such as 10.0.0.0/8 or 192.0.2.7; from everywhere when it is empty."`
}

func (a *API) putNetworks(c ctx, actor auth.Actor, in newNetworks) (None, error) {
	networks, err := auth.ParseNetworks(in.Networks)
	if err != nil {
		return None{}, err
	}
	return None{}, a.Auth.SetKeyNetworks(c, actor, in.ID, networks)
}
