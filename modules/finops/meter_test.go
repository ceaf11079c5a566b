package finops_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
)

// cloud is what a provider bills, as instance would tell it.
type cloud struct{ resources []finops.Resource }

func (c *cloud) Resources(context.Context, time.Time) ([]finops.Resource, error) {
	return c.resources, nil
}

func setup(t *testing.T) (*finops.Service, *cloud, auth.Actor) {
	t.Helper()
	pool := dbtest.New(t)
	organisation := uuid.New()
	if _, err := pool.Exec(t.Context(), `INSERT INTO auth.organisations (id, name, slug) VALUES ($1, 'Test', 'test')`, organisation); err != nil {
		t.Fatal(err)
	}
	c := &cloud{}
	return finops.New(pool, c), c, auth.System(organisation)
}

func meter(t *testing.T, s *finops.Service) int {
	t.Helper()
	n, err := s.Meter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func server(organisation uuid.UUID, price string, created time.Time) finops.Resource {
	p, err := money.Parse(price)
	if err != nil {
		panic(err)
	}
	return finops.Resource{
		ID: uuid.New(), Organisation: organisation, InstanceID: uuid.New(), Instance: "inst-1", Model: "m", Provider: "mock", Zone: "local-1",
		Kind: "server", Description: "L4", PricePerHour: p, CreatedAt: created,
	}
}

func TestMeter_followsTheProvidersInterval(t *testing.T) {
	t.Parallel()
	s, c, actor := setup(t)
	begun := time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Microsecond)
	r := server(actor.Organisation, "1.20", begun)
	c.resources = []finops.Resource{r}
	if n := meter(t, s); n != 1 {
		t.Errorf("first pass wrote %d charges, want 1", n)
	}
	if n := meter(t, s); n != 0 {
		t.Errorf("second pass wrote %d charges, want 0", n)
	}
	o, err := s.Overview(t.Context(), actor)
	if err != nil || o.BurnRate != r.PricePerHour {
		t.Fatalf("Overview = %+v, %v; want a burn rate of 1.20", o, err)
	}

	// It ends, and the row is read a second time with another price: what was
	// frozen stays.
	r.GoneAt, r.PricePerHour = begun.Add(90*time.Minute), 99*money.Euro
	c.resources = []finops.Resource{r}
	if n := meter(t, s); n != 1 {
		t.Errorf("the pass after the end wrote %d charges, want 1", n)
	}
	costs, err := s.CostSoFar(t.Context(), actor, []uuid.UUID{r.InstanceID})
	if err != nil || costs[r.InstanceID] != 1_800_000_000 {
		t.Errorf("90 minutes at 1.20 €/h = %s, %v; want 1.80", costs[r.InstanceID], err)
	}
	if o, err := s.Overview(t.Context(), actor); err != nil || o.BurnRate != 0 {
		t.Errorf("Overview after the end = %+v, %v; want no burn rate", o, err)
	}
}

// The system being replaced left out whatever had ended or failed, and began
// again at zero after a gap (its defect 21).
func TestDefect21_nothingIsLeftOutAndAGapCostsNothing(t *testing.T) {
	t.Parallel()
	s, c, actor := setup(t)
	from := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
	short := server(actor.Organisation, "0.60", from.Add(30*time.Minute))
	short.GoneAt = short.CreatedAt.Add(20 * time.Second) // ended before anybody looked
	long := server(actor.Organisation, "0.7875", from)
	c.resources = []finops.Resource{short, long}
	meter(t, s) // the first look comes days later

	days, err := s.Days(t.Context(), actor, from, from.AddDate(0, 0, 2))
	if err != nil {
		t.Fatal(err)
	}
	full := long.PricePerHour.PerHour(24 * time.Hour)
	want := []money.EUR{full + short.PricePerHour.PerHour(20*time.Second), full}
	got := []money.EUR{days[0].Total, days[1].Total}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("days (-want +got)\n%s", diff)
	}
}

func TestCosts_areTheOrganisationsOwn(t *testing.T) {
	t.Parallel()
	s, c, actor := setup(t)
	r := server(actor.Organisation, "1", time.Now().Add(-time.Hour))
	c.resources = []finops.Resource{r}
	meter(t, s)
	stranger := auth.System(uuid.New())
	charges, err := s.Charges(t.Context(), stranger, time.Time{}, time.Now())
	if err != nil || len(charges) != 0 {
		t.Errorf("a stranger sees %d charges, %v", len(charges), err)
	}
	costs, err := s.CostSoFar(t.Context(), stranger, []uuid.UUID{r.InstanceID})
	if err != nil || len(costs) != 0 {
		t.Errorf("a stranger sees the cost %v, %v", costs, err)
	}
	user := auth.Actor{UserID: uuid.New(), Organisation: actor.Organisation, Role: auth.User}
	if _, err := s.Overview(t.Context(), user); !fault.Is(err, fault.Denied) {
		t.Errorf("a user asks for costs: %v, want denied", err)
	}
}
