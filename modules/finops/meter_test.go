package finops_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
)

// cloud is what is billed, as the module instance would tell it.
type cloud struct {
	mu   sync.Mutex
	rows map[uuid.UUID]finops.Resource
}

func (c *cloud) Resources(_ context.Context, since time.Time) ([]finops.Resource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var changed []finops.Resource
	for _, r := range c.rows {
		if !r.UpdatedAt.Before(since) {
			changed = append(changed, r)
		}
	}
	return changed, nil
}

func (c *cloud) put(r finops.Resource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows[r.ID] = r
}

type bench struct {
	*cloud
	*finops.Service

	pool  *pgxpool.Pool
	actor auth.Actor
	now   time.Time // of the database
}

func setup(t *testing.T) bench {
	t.Helper()
	b := bench{cloud: &cloud{rows: map[uuid.UUID]finops.Resource{}}, pool: dbtest.New(t)}
	b.Service = finops.New(b.pool, b.cloud)
	b.actor = b.organisation(t, "ours")
	if err := b.pool.QueryRow(t.Context(), `SELECT now()`).Scan(&b.now); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b bench) organisation(t *testing.T, slug string) auth.Actor {
	t.Helper()
	id := uuid.New()
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO auth.organisations (id, name, slug) VALUES ($1, $2, $2)`, id, slug); err != nil {
		t.Fatal(err)
	}
	return auth.Actor{UserID: uuid.New(), Organisation: id, Role: auth.Owner}
}

// rent bills something from age ago on.
func (b bench) rent(kind string, age time.Duration, price money.EUR) finops.Resource {
	r := finops.Resource{
		ID: uuid.New(), Organisation: b.actor.Organisation, InstanceID: uuid.New(), Instance: "inst-1", Model: "m",
		Provider: "mock", Zone: "local-1", Kind: kind, Description: kind, PricePerHour: price,
		CreatedAt: b.now.Add(-age), UpdatedAt: b.now,
	}
	b.put(r)
	return r
}

func (b bench) meter(t *testing.T, s *finops.Service, want int) {
	t.Helper()
	if n, err := s.Meter(t.Context()); n != want || err != nil {
		t.Fatalf("Meter = %d, %v; want %d", n, err, want)
	}
}

func (b bench) cost(t *testing.T, instance uuid.UUID) money.EUR {
	t.Helper()
	costs, err := b.CostSoFar(t.Context(), b.actor, []uuid.UUID{instance})
	if err != nil {
		t.Fatal(err)
	}
	return costs[instance]
}

func TestMeter_chargesTheProvidersIntervalAtTheFrozenPrice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.rent("server", 90*time.Minute, 2*money.Euro)
	b.meter(t, b.Service, 1)
	b.meter(t, b.Service, 0) // reading twice changes nothing
	if got := b.cost(t, r.InstanceID); got < 3*money.Euro || got > 3*money.Euro+money.Cent {
		t.Errorf("90 minutes at 2 €/h cost %s so far", got)
	}
	r.GoneAt, r.PricePerHour, r.UpdatedAt = r.CreatedAt.Add(20*time.Minute+time.Microsecond), 9*money.Euro, b.now.Add(time.Second)
	b.put(r)
	b.meter(t, b.Service, 1)
	if got, want := b.cost(t, r.InstanceID), (2 * money.Euro).PerHour(20*time.Minute+time.Microsecond); got != want {
		t.Errorf("after its end it cost %s, want %s", got, want)
	}
	b.meter(t, b.Service, 0)
}

// The original lost the last partial minute of what had ended, what had failed
// and what was archived, forgot volumes and addresses, and began its sums anew
// after a gap. Here a charge ends when the provider says so and at no other time.
func TestDefect21_gapsRestartsAndLateRowsCostNothingAndLoseNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ended := b.rent("server", 50*time.Hour, money.Euro)
	ended.GoneAt = ended.CreatedAt.Add(30*time.Hour + 17*time.Second)
	b.put(ended)
	volume := b.rent("volume", 50*time.Hour, 10*money.Cent)
	address := b.rent("address", 50*time.Hour, money.Cent)
	// The first pass comes long after everything happened: no meter ran before.
	b.meter(t, b.Service, 3)
	if got, want := b.cost(t, ended.InstanceID), money.Euro.PerHour(30*time.Hour+17*time.Second); got != want {
		t.Errorf("what began and ended in the gap cost %s, want %s", got, want)
	}
	for r, hours := range map[*finops.Resource]money.EUR{&volume: 5 * money.Euro, &address: 50 * money.Cent} {
		if got := b.cost(t, r.InstanceID); got < hours || got > hours+money.Cent {
			t.Errorf("%s for 50 h cost %s, want %s", r.Kind, got, hours)
		}
	}
	// A row whose commit came later than any overlap: the next process finds it.
	late := b.rent("server", 3*time.Hour, money.Euro)
	late.UpdatedAt = b.now.Add(-3 * time.Hour)
	b.put(late)
	b.meter(t, b.Service, 0)
	b.meter(t, finops.New(b.pool, b.cloud), 1)
	if got := b.cost(t, late.InstanceID); got < 3*money.Euro {
		t.Errorf("the late one cost %s, want its three hours", got)
	}
}

func TestMeter_anOlderReadingDoesNotOpenWhatHasEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := b.rent("server", time.Hour, money.Euro)
	stale := &cloud{rows: map[uuid.UUID]finops.Resource{open.ID: open}} // read before the end, written after it
	ended := open
	ended.GoneAt, ended.UpdatedAt = b.now, b.now.Add(time.Second)
	b.put(ended)
	b.meter(t, b.Service, 1)
	b.meter(t, finops.New(b.pool, stale), 0)
	if got := b.cost(t, open.InstanceID); got != money.Euro {
		t.Errorf("it cost %s, want one hour", got)
	}
}

func TestMeter_clocksThatDisagreeCostNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	backwards := b.rent("server", time.Hour, money.Euro)
	backwards.GoneAt = backwards.CreatedAt.Add(-time.Minute)
	b.put(backwards)
	ahead := b.rent("server", -time.Hour, money.Euro) // begins in an hour by the provider's clock
	b.meter(t, b.Service, 2)
	for _, r := range []finops.Resource{backwards, ahead} {
		if got := b.cost(t, r.InstanceID); got != 0 {
			t.Errorf("started %s, gone %s: cost %s, want nothing", r.CreatedAt, r.GoneAt, got)
		}
	}
}

func TestOverview_addsUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.rent("server", 48*time.Hour, 787_500_000)
	b.rent("volume", 48*time.Hour, 12_345_678)
	gone := b.rent("server", 3*time.Hour, money.Euro)
	gone.GoneAt = b.now
	b.put(gone)
	b.meter(t, b.Service, 3)
	o, err := b.Overview(t.Context(), b.actor)
	if err != nil {
		t.Fatal(err)
	}
	if o.BurnRate != 787_500_000+12_345_678 {
		t.Errorf("burn rate = %s, want what is open only", o.BurnRate)
	}
	from, to := finops.Month(o.At)
	charges, err := b.Charges(t.Context(), b.actor, from, to)
	if err != nil {
		t.Fatal(err)
	}
	var sum money.EUR
	for _, c := range charges {
		sum += c.Between(from, o.At)
	}
	if sum != o.MonthToDate {
		t.Errorf("charges add up to %s, month to date is %s", sum, o.MonthToDate)
	}
	if want := o.MonthToDate + o.BurnRate.PerHour(to.Sub(o.At)); o.Forecast != want {
		t.Errorf("forecast = %s, want %s", o.Forecast, want)
	}
}

func TestCosts_areTheOrganisationsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	theirs := b.organisation(t, "theirs")
	r := b.rent("server", time.Hour, money.Euro)
	b.meter(t, b.Service, 1)
	o, err := b.Overview(t.Context(), theirs)
	if err != nil || o.BurnRate != 0 || o.MonthToDate != 0 || o.Forecast != 0 {
		t.Errorf("another organisation's overview = %+v, %v; want nothing", o, err)
	}
	if costs, err := b.CostSoFar(t.Context(), theirs, []uuid.UUID{r.InstanceID}); err != nil || len(costs) != 0 {
		t.Errorf("another organisation's cost of our instance = %v, %v", costs, err)
	}
	b.actor.Role = auth.User
	if _, err := b.Overview(t.Context(), b.actor); !fault.Is(err, fault.Denied) {
		t.Errorf("a user's overview = %v, want denied", err)
	}
}
