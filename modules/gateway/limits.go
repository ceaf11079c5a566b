package gateway

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// Accounts knows who can be limited.
type Accounts interface {
	// ListKeys lists the keys that the actor may handle.
	ListKeys(ctx context.Context, actor auth.Actor) ([]auth.Key, error)
	Members(ctx context.Context, actor auth.Actor) ([]auth.Member, error)
}

// Limited is a key, a member or an organisation with its limits.
type Limited struct {
	limit.Settings

	Level    limit.Level
	ID       uuid.UUID // the key, the user, or the organisation
	Spent    money.EUR // in the budget's period
	Reserved money.EUR // of the budget: set aside by gateways for requests
}

// Limits lists what is limited in the actor's organisation and may be seen by
// it: its own keys and itself with the organisation, or everything with
// UsageAll.
func (s *Service) Limits(ctx context.Context, actor auth.Actor) ([]Limited, error) {
	if err := auth.Need(actor, auth.MembersView); err != nil {
		return nil, err
	}
	rows, err := gatewaydb.New(s.pool).LimitsOf(ctx, gatewaydb.LimitsOfParams{OrganisationID: actor.Organisation})
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	keys := map[uuid.UUID]bool{}
	if !actor.Can(auth.UsageAll) && actor.Can(auth.KeysOwn) {
		own, err := s.accounts.ListKeys(ctx, actor)
		if err != nil {
			return nil, fmt.Errorf("list the actor's keys: %w", err)
		}
		for _, k := range own {
			keys[k.ID] = true
		}
	}
	list := make([]Limited, 0, len(rows))
	for _, r := range rows {
		if actor.Can(auth.UsageAll) || keys[r.SubjectID] || r.SubjectID == actor.UserID || r.SubjectID == actor.Organisation {
			list = append(list, limitedOf(r))
		}
	}
	return list, nil
}

func limitedOf(r gatewaydb.LimitsOfRow) Limited {
	return Limited{
		Level: limit.Level(r.Level), ID: r.SubjectID, Spent: r.Spent, Reserved: money.EUR(r.Leased),
		Settings: limit.Settings{
			RequestsPerMinute: r.RequestsPerMinute, TokensPerMinute: r.TokensPerMinute, Concurrency: r.Concurrency,
			MaxTokens: r.MaxTokens, Models: r.Models, Budget: r.Budget, Period: limit.Period(r.Period),
		},
	}
}

// LimitsOf returns the limits of one key, member or organisation: none, if none
// are set. It fails with fault.NotFound for one that is not in the actor's
// organisation or that it may not see.
func (s *Service) LimitsOf(ctx context.Context, actor auth.Actor, level limit.Level, id uuid.UUID) (Limited, error) {
	if err := s.mayLimit(ctx, actor, level, id, false); err != nil {
		return Limited{}, err
	}
	rows, err := gatewaydb.New(s.pool).LimitsOf(ctx, gatewaydb.LimitsOfParams{OrganisationID: actor.Organisation, SubjectID: &id})
	if err != nil {
		return Limited{}, fmt.Errorf("read limits: %w", err)
	}
	if len(rows) == 0 {
		return Limited{Level: level, ID: id}, nil
	}
	return limitedOf(rows[0]), nil
}

// SetLimits replaces the limits of a key, a member or the organisation; every
// process that reaches the database holds requests to them within three
// seconds. A key's are set by whoever may handle it, the others with
// LimitsEdit. It fails with fault.Invalid for a limit that cannot be.
func (s *Service) SetLimits(ctx context.Context, actor auth.Actor, level limit.Level, id uuid.UUID, l limit.Settings) (Limited, error) {
	if err := s.mayLimit(ctx, actor, level, id, true); err != nil {
		return Limited{}, err
	}
	l, err := cleanLimits(l)
	if err != nil {
		return Limited{}, err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := gatewaydb.New(tx)
		if _, err := q.BumpLimits(ctx); err != nil {
			return fmt.Errorf("take a version: %w", err)
		}
		if l.IsZero() {
			err = q.DeleteLimits(ctx, gatewaydb.DeleteLimitsParams{OrganisationID: actor.Organisation, SubjectID: id})
		} else {
			err = q.PutLimits(ctx, gatewaydb.PutLimitsParams{
				OrganisationID: actor.Organisation, SubjectID: id, Level: string(level), RequestsPerMinute: l.RequestsPerMinute,
				TokensPerMinute: l.TokensPerMinute, Concurrency: l.Concurrency, MaxTokens: l.MaxTokens, Models: l.Models,
				Budget: l.Budget, Period: string(l.Period),
			})
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if err := auth.Audit(ctx, tx, actor, string(level)+".limit", id.String(), detail(l)); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		return events.Post(ctx, tx, events.Event{Topic: events.Limit, Key: id.String(), Organisation: actor.Organisation})
	})
	if err != nil {
		return Limited{}, fmt.Errorf("set limits: %w", err)
	}
	s.admission.loop.Wake()
	return s.LimitsOf(ctx, actor, level, id)
}

// detail is what the audit keeps of a change.
func detail(l limit.Settings) map[string]any {
	d := map[string]any{}
	for name, n := range map[string]int64{
		"requests_per_minute": l.RequestsPerMinute, "tokens_per_minute": l.TokensPerMinute, "concurrency": l.Concurrency, "max_tokens": l.MaxTokens,
	} {
		if n > 0 {
			d[name] = n
		}
	}
	if len(l.Models) > 0 {
		d["models"] = l.Models
	}
	if l.Budget > 0 {
		d["budget"], d["period"] = l.Budget.String(), string(l.Period)
	}
	return d
}

// mayLimit checks that the actor may see, or set, the limits of a subject.
func (s *Service) mayLimit(ctx context.Context, actor auth.Actor, level limit.Level, id uuid.UUID, set bool) error {
	switch level {
	case limit.Key:
		keys, err := s.accounts.ListKeys(ctx, actor)
		if err != nil {
			return fmt.Errorf("look for the key: %w", err)
		}
		for _, k := range keys {
			if k.ID == id {
				return nil
			}
		}
		return fault.New(fault.NotFound, "There is no such API key.")
	case limit.Member:
		if set {
			if err := auth.Need(actor, auth.LimitsEdit); err != nil {
				return err
			}
		} else if id != actor.UserID && !actor.Can(auth.UsageAll) {
			return fault.New(fault.NotFound, "There is no member whose limits you may see by this id.")
		}
		members, err := s.accounts.Members(ctx, actor)
		if err != nil {
			return fmt.Errorf("look for the member: %w", err)
		}
		for _, m := range members {
			if m.UserID == id {
				return nil
			}
		}
		return fault.New(fault.NotFound, "There is no such member.")
	case limit.Organisation:
		if id != actor.Organisation {
			return fault.New(fault.NotFound, "There is no such organisation.")
		}
		if set {
			return auth.Need(actor, auth.LimitsEdit)
		}
		return auth.Need(actor, auth.MembersView)
	}
	return fault.Newf(fault.Invalid, "There are no limits of a %s.", level)
}

const (
	maxModels = 100
	maxBudget = 1_000_000_000 * money.Euro
)

// cleanLimits refuses limits that cannot be held.
func cleanLimits(l limit.Settings) (limit.Settings, error) {
	for _, n := range []struct {
		field, name string
		value, most int64
	}{
		{"requests_per_minute", "requests a minute", l.RequestsPerMinute, 1_000_000_000},
		{"tokens_per_minute", "tokens a minute", l.TokensPerMinute, 1_000_000_000_000},
		{"concurrency", "requests at once", l.Concurrency, 1_000_000},
		{"max_tokens", "tokens of one request", l.MaxTokens, 10_000_000},
	} {
		if n.value < 0 || n.value > n.most {
			return l, fault.Newf(fault.Invalid, "A limit on %s is a whole number from 1 to %d.", n.name, n.most).
				WithFix("Leave it out for no limit.").WithField(n.field)
		}
	}
	if len(l.Models) > maxModels {
		return l, fault.Newf(fault.Invalid, "At most %d models can be listed.", maxModels).WithField("models")
	}
	for i, m := range l.Models {
		if l.Models[i] = strings.TrimSpace(m); l.Models[i] == "" || len(m) > 256 {
			return l, fault.New(fault.Invalid, "A model's name has 1 to 256 bytes.").WithField("models")
		}
	}
	switch {
	case l.Budget == 0:
		l.Period = ""
	case l.Budget < money.Cent || l.Budget > maxBudget:
		return l, fault.New(fault.Invalid, "A budget is an amount from 0.01 to 1000000000 EUR.").
			WithFix("Leave it out for no budget.").WithField("budget")
	case l.Period == "":
		l.Period = limit.Month
	case l.Period != limit.Day && l.Period != limit.Month:
		return l, fault.New(fault.Invalid, "A budget is for each day or for each month.").WithFix("Use day or month.").WithField("period")
	}
	return l, nil
}
