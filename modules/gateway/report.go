package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
)

// Usage is what a set of requests used.
type Usage struct {
	Requests         int64
	PromptTokens     int64
	CompletionTokens int64
	Cost             money.EUR
}

// Summary is the usage of a period.
type Summary struct {
	Usage

	Interrupted int64 // requests whose answer was not whole
}

// mine returns whose usage the actor may see: nil means everybody's in its
// organisation.
func mine(actor auth.Actor) (*uuid.UUID, error) {
	if actor.Can(auth.UsageAll) {
		return nil, nil //nolint:nilnil // nobody in particular
	}
	if err := auth.Need(actor, auth.UsageOwn); err != nil {
		return nil, err
	}
	return &actor.UserID, nil
}

// Summary adds up the usage that the actor may see between two instants.
func (s *Service) Summary(ctx context.Context, actor auth.Actor, from, to time.Time) (Summary, error) {
	user, err := mine(actor)
	if err != nil {
		return Summary{}, err
	}
	r, err := gatewaydb.New(s.pool).UsageSummary(ctx, gatewaydb.UsageSummaryParams{
		OrganisationID: actor.Organisation, Since: from, Until: to, UserID: user,
	})
	if err != nil {
		return Summary{}, fmt.Errorf("add up usage: %w", err)
	}
	return Summary{
		Usage:       Usage{Requests: r.Requests, PromptTokens: r.PromptTokens, CompletionTokens: r.CompletionTokens, Cost: r.Cost},
		Interrupted: r.Interrupted,
	}, nil
}

// DayUsage is what one model was used on one day (UTC).
type DayUsage struct {
	Usage

	Day   time.Time
	Model string
}

// UsageByDay splits usage over days and models, the oldest first.
func (s *Service) UsageByDay(ctx context.Context, actor auth.Actor, from, to time.Time) ([]DayUsage, error) {
	user, err := mine(actor)
	if err != nil {
		return nil, err
	}
	rows, err := gatewaydb.New(s.pool).UsageByDay(ctx, gatewaydb.UsageByDayParams{
		OrganisationID: actor.Organisation, Since: from, Until: to, UserID: user,
	})
	if err != nil {
		return nil, fmt.Errorf("add up usage by day: %w", err)
	}
	list := make([]DayUsage, len(rows))
	for i, r := range rows {
		day, err := time.Parse(time.DateOnly, r.Day)
		if err != nil {
			return nil, fmt.Errorf("read a day: %w", err)
		}
		list[i] = DayUsage{
			Day: day, Model: r.Model,
			Usage: Usage{Requests: r.Requests, PromptTokens: r.PromptTokens, CompletionTokens: r.CompletionTokens, Cost: r.Cost},
		}
	}
	return list, nil
}

// KeyUsage is what one API key, or one member in the playground, used.
type KeyUsage struct {
	Usage

	KeyID  uuid.UUID // nil: the playground
	UserID uuid.UUID // nil: a machine's key
}

// UsageByKey splits usage over keys and members, the dearest first.
func (s *Service) UsageByKey(ctx context.Context, actor auth.Actor, from, to time.Time) ([]KeyUsage, error) {
	user, err := mine(actor)
	if err != nil {
		return nil, err
	}
	rows, err := gatewaydb.New(s.pool).UsageByKey(ctx, gatewaydb.UsageByKeyParams{
		OrganisationID: actor.Organisation, Since: from, Until: to, UserID: user,
	})
	if err != nil {
		return nil, fmt.Errorf("add up usage by key: %w", err)
	}
	list := make([]KeyUsage, len(rows))
	for i, r := range rows {
		list[i] = KeyUsage{
			KeyID: orNil(r.KeyID), UserID: orNil(r.UserID),
			Usage: Usage{Requests: r.Requests, PromptTokens: r.PromptTokens, CompletionTokens: r.CompletionTokens, Cost: r.Cost},
		}
	}
	return list, nil
}

// UpstreamUsage is what one instance or endpoint answered.
type UpstreamUsage struct {
	Usage

	ID       uuid.UUID
	Endpoint bool
}

// UsageByUpstream splits usage over instances and endpoints, the busiest first.
func (s *Service) UsageByUpstream(ctx context.Context, actor auth.Actor, from, to time.Time) ([]UpstreamUsage, error) {
	user, err := mine(actor)
	if err != nil {
		return nil, err
	}
	rows, err := gatewaydb.New(s.pool).UsageByUpstream(ctx, gatewaydb.UsageByUpstreamParams{
		OrganisationID: actor.Organisation, Since: from, Until: to, UserID: user,
	})
	if err != nil {
		return nil, fmt.Errorf("add up usage by upstream: %w", err)
	}
	list := make([]UpstreamUsage, len(rows))
	for i, r := range rows {
		list[i] = UpstreamUsage{
			ID: r.UpstreamID, Endpoint: r.Upstream == "endpoint",
			Usage: Usage{Requests: r.Requests, PromptTokens: r.PromptTokens, CompletionTokens: r.CompletionTokens, Cost: r.Cost},
		}
	}
	return list, nil
}

// RequestsPerMinute returns how many requests of the actor's organisation began
// in the last minute.
func (s *Service) RequestsPerMinute(ctx context.Context, actor auth.Actor) (int64, error) {
	n, err := gatewaydb.New(s.pool).RequestsSince(ctx, gatewaydb.RequestsSinceParams{
		OrganisationID: actor.Organisation, Since: time.Now().Add(-time.Minute),
	})
	if err != nil {
		return 0, fmt.Errorf("count requests: %w", err)
	}
	return n, nil
}

func orNil(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}
