package finops

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // constant

func TestDays_addUpToTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from, to := monday, monday.AddDate(0, 0, 9)
		instant := func(name string) time.Time {
			return from.Add(time.Duration(rapid.Int64Range(-int64(48*time.Hour), int64(14*24*time.Hour)).Draw(t, name)))
		}
		now := instant("now")
		var charges []Charge
		for i := range rapid.IntRange(0, 6).Draw(t, "charges") {
			c := Charge{PricePerHour: money.EUR(rapid.Int64Range(0, 60*int64(money.Euro)).Draw(t, "price")), StartedAt: instant("start")}
			c.Model = []string{"a", "b"}[i%2]
			if rapid.Bool().Draw(t, "ended") {
				c.EndedAt = c.StartedAt.Add(time.Duration(rapid.Int64Range(0, int64(9*24*time.Hour)).Draw(t, "life")))
			}
			charges = append(charges, c)
		}
		var sum, models, whole money.EUR
		for _, d := range days(charges, from, to, now) {
			sum += d.Total
			for _, part := range d.ByModel {
				models += part
			}
		}
		for _, c := range charges {
			whole += c.Between(earlier(from, now), earlier(to, now))
		}
		if sum != whole || models != whole {
			t.Fatalf("days add up to %s, models to %s, the whole is %s", sum, models, whole)
		}
	})
}

func TestCharge_uptoStopsAtItsEnd(t *testing.T) {
	t.Parallel()
	c := Charge{PricePerHour: 3 * money.Euro, StartedAt: monday, EndedAt: monday.Add(20 * time.Minute)}
	for at, want := range map[time.Time]money.EUR{
		monday.Add(-time.Hour): 0, monday: 0, monday.Add(10 * time.Minute): money.Euro / 2, monday.AddDate(1, 0, 0): money.Euro,
	} {
		if got := c.Upto(at); got != want {
			t.Errorf("up to %s: %s €, want %s", at, got, want)
		}
	}
}

func TestMonth_isUTC(t *testing.T) {
	t.Parallel()
	paris := time.FixedZone("CET", 3600)
	from, to := Month(time.Date(2026, 12, 1, 0, 30, 0, 0, paris))
	if from.Month() != time.November || to.Month() != time.December {
		t.Errorf("Month = %s to %s, want November", from, to)
	}
}
