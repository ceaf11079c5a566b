package finops

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops/internal/finopsdb"
)

// Resource is something a provider bills, as the module instance tells it.
type Resource struct {
	ID, Organisation, InstanceID uuid.UUID
	Instance, Model              string // names
	Provider, Zone               string
	Kind                         string // server, volume or address
	Description                  string
	PricePerHour                 money.EUR
	CreatedAt                    time.Time
	GoneAt                       time.Time // zero: still there
	UpdatedAt                    time.Time // when any of this was written
}

// Resources tells what changed: every resource that was written at or after an
// instant, by the database's clock.
type Resources interface {
	Resources(ctx context.Context, since time.Time) ([]Resource, error)
}

// Service is the module's front door.
type Service struct {
	pool      *pgxpool.Pool
	resources Resources
	caughtUp  atomic.Bool // this process has read every resource once
}

// New returns the service.
func New(pool *pgxpool.Pool, resources Resources) *Service {
	return &Service{pool: pool, resources: resources}
}

func (s *Service) q() *finopsdb.Queries { return finopsdb.New(s.pool) }

// Charge is a priced interval of one resource.
type Charge struct {
	ID, InstanceID  uuid.UUID
	Instance, Model string
	Provider, Zone  string
	Kind            string
	Description     string
	PricePerHour    money.EUR
	StartedAt       time.Time
	EndedAt         time.Time // zero: it goes on
}

// Upto returns what the charge costs from its start to an instant, or to its
// end if that is sooner.
func (c Charge) Upto(at time.Time) money.EUR {
	if !c.EndedAt.IsZero() && c.EndedAt.Before(at) {
		at = c.EndedAt
	}
	if !at.After(c.StartedAt) {
		return 0
	}
	return c.PricePerHour.PerHour(at.Sub(c.StartedAt))
}

// Between returns the part of the charge's cost that falls between two
// instants. The parts of adjoining intervals add up exactly.
func (c Charge) Between(from, to time.Time) money.EUR { return c.Upto(to) - c.Upto(from) }

// Month is the calendar month in which an instant lies, in UTC.
func Month(at time.Time) (from, to time.Time) {
	at = at.UTC()
	from = time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
	return from, from.AddDate(0, 1, 0)
}

// Overview is what an organisation's machines cost now and this month.
type Overview struct {
	At          time.Time // of the figures, by the database's clock
	BurnRate    money.EUR // per hour
	MonthToDate money.EUR
	Forecast    money.EUR // of the whole month, if what runs now goes on
}

// Overview returns the figures of the meter line. It needs costs.view.
func (s *Service) Overview(ctx context.Context, actor auth.Actor) (Overview, error) {
	if err := auth.Need(actor, auth.CostsView); err != nil {
		return Overview{}, err
	}
	now, err := s.q().Now(ctx)
	if err != nil {
		return Overview{}, fmt.Errorf("ask the database for the time: %w", err)
	}
	rate, err := s.q().BurnRate(ctx, actor.Organisation)
	if err != nil {
		return Overview{}, fmt.Errorf("read the burn rate: %w", err)
	}
	from, to := Month(now)
	charges, err := s.Charges(ctx, actor, from, to)
	if err != nil {
		return Overview{}, err
	}
	o := Overview{At: now, BurnRate: rate}
	for _, c := range charges {
		o.MonthToDate += c.Between(from, now)
	}
	o.Forecast = o.MonthToDate + rate.PerHour(to.Sub(now))
	return o, nil
}

// Charges lists what cost something between two instants, the oldest first. It
// needs costs.view.
func (s *Service) Charges(ctx context.Context, actor auth.Actor, from, to time.Time) ([]Charge, error) {
	if err := auth.Need(actor, auth.CostsView); err != nil {
		return nil, err
	}
	rows, err := s.q().Charges(ctx, finopsdb.ChargesParams{OrganisationID: actor.Organisation, Since: &from, Until: to})
	if err != nil {
		return nil, fmt.Errorf("list charges: %w", err)
	}
	list := make([]Charge, len(rows))
	for i, r := range rows {
		list[i] = toCharge(finopsdb.ChargesOfRow(r))
	}
	return list, nil
}

// CostSoFar returns what each of the instances has cost until now, by its id.
// Instances of another organisation are left out.
func (s *Service) CostSoFar(ctx context.Context, actor auth.Actor, instances []uuid.UUID) (map[uuid.UUID]money.EUR, error) {
	if err := auth.Need(actor, auth.InstancesView); err != nil {
		return nil, err
	}
	rows, err := s.q().ChargesOf(ctx, finopsdb.ChargesOfParams{OrganisationID: actor.Organisation, Instances: instances})
	if err != nil {
		return nil, fmt.Errorf("read the cost of instances: %w", err)
	}
	now, err := s.q().Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the database for the time: %w", err)
	}
	costs := make(map[uuid.UUID]money.EUR, len(instances))
	for _, r := range rows {
		costs[r.InstanceID] += toCharge(r).Upto(now)
	}
	return costs, nil
}

// Day is what one day (UTC) cost, in all and by model.
type Day struct {
	Date    time.Time
	Total   money.EUR
	ByModel map[string]money.EUR
}

// Days splits the cost between two midnights over its days; a day that is not
// over counts up to now. The days add up exactly to the charges.
func (s *Service) Days(ctx context.Context, actor auth.Actor, from, to time.Time) ([]Day, error) {
	charges, err := s.Charges(ctx, actor, from, to)
	if err != nil {
		return nil, err
	}
	now, err := s.q().Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the database for the time: %w", err)
	}
	return days(charges, from, to, now), nil
}

func days(charges []Charge, from, to, now time.Time) []Day {
	var list []Day
	for at := from; at.Before(to); at = at.AddDate(0, 0, 1) {
		d := Day{Date: at, ByModel: map[string]money.EUR{}}
		begin, end := earlier(at, now), earlier(at.AddDate(0, 0, 1), now)
		for _, c := range charges {
			part := c.Between(begin, end)
			d.Total += part
			if part != 0 {
				d.ByModel[c.Model] += part
			}
		}
		list = append(list, d)
	}
	return list
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func toCharge(r finopsdb.ChargesOfRow) Charge {
	c := Charge{
		ID: r.ID, InstanceID: r.InstanceID, Instance: r.Instance, Model: r.Model, Provider: r.Provider, Zone: r.Zone,
		Kind: r.Kind, Description: r.Description, PricePerHour: r.PricePerHour, StartedAt: r.StartedAt,
	}
	if r.EndedAt != nil {
		c.EndedAt = *r.EndedAt
	}
	return c
}
