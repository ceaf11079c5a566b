package money_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

func TestParse_readsWhatStringWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := money.EUR(rapid.Int64().Draw(t, "nano"))
		got, err := money.Parse(want.String())
		if err != nil || got != want {
			t.Fatalf("Parse(%q) = %d, %v; want %d", want.String(), got, err, want)
		}
	})
}

func TestParse_table(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]money.EUR{
		"0.7875": 787_500_000, "12": 12 * money.Euro, "-0.01": -money.Cent,
		"10,5": 10_500_000_000, ".5": 500_000_000, "1.": money.Euro,
	} {
		if got, err := money.Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "-", "1e3", "NaN", "1.0000000001", "99999999999", "9300000000", "1,2,3", "0x1"} {
		if got, err := money.Parse(in); err == nil {
			t.Errorf("Parse(%q) = %d, want an error", in, got)
		}
	}
}

func TestPerHour_isExactToHalfANano(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		price := money.EUR(rapid.Int64Range(0, 100*int64(money.Euro)).Draw(t, "price"))
		d := time.Duration(rapid.Int64Range(0, int64(10*365*24*time.Hour)).Draw(t, "d"))
		got := new(big.Int).Mul(big.NewInt(int64(price.PerHour(d))), big.NewInt(2*int64(time.Hour)))
		want := new(big.Int).Mul(big.NewInt(2*int64(price)), big.NewInt(int64(d)))
		if diff := got.Sub(got, want); diff.CmpAbs(big.NewInt(int64(time.Hour))) > 0 {
			t.Fatalf("%s €/h for %s is off by more than half a nano-euro", price, d)
		}
	})
}

func TestPerMillion_table(t *testing.T) {
	t.Parallel()
	price, _ := money.Parse("0.20")
	if got := price.PerMillion(1_000_000); got != price {
		t.Errorf("a million tokens = %s, want %s", got, price)
	}
	if got := price.PerMillion(21); got != 4200*money.Nano {
		t.Errorf("21 tokens = %s, want 0.0000042", got)
	}
	for _, c := range []struct {
		price money.EUR
		n     int64
		want  money.EUR
	}{
		{-1_500_000, 1, -2}, {1_499_999, 1, 1}, {-1_499_999, 1, -1}, {3, -500_000, -2},
		{math.MaxInt64, 1_000_000, math.MaxInt64}, {math.MaxInt64, math.MaxInt64, math.MaxInt64}, {math.MinInt64, math.MaxInt64, -math.MaxInt64},
	} {
		if got := c.price.PerMillion(c.n); got != c.want {
			t.Errorf("%d tokens at %d nano-euros a million = %d, want %d", c.n, c.price, got, c.want)
		}
	}
}

func TestRound_table(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in     money.EUR
		places int
		want   string
	}{
		{787_500_000, 2, "0.79"}, {1_284_065_000_000, 2, "1284.07"}, {-5_000_000, 2, "-0.01"},
		{0, 2, "0.00"}, {1_500_000_000, 0, "2"}, {math.MinInt64, 2, "-9223372036.85"}, {1, 9, "0.000000001"},
	} {
		if got := c.in.Round(c.places); got != c.want {
			t.Errorf("%d rounded to %d = %q, want %q", c.in, c.places, got, c.want)
		}
	}
}

func TestPlus_doesNotOverflow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want money.EUR }{
		{1, 2, 3}, {-5, 3, -2}, {0, 0, 0}, {math.MaxInt64, 1, math.MaxInt64}, {math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{math.MinInt64, -1, math.MinInt64}, {math.MinInt64, math.MinInt64, math.MinInt64}, {math.MaxInt64, math.MinInt64, -1}, {math.MaxInt64 - 1, 1, math.MaxInt64},
	} {
		if got := c.a.Plus(c.b); got != c.want || c.b.Plus(c.a) != c.want {
			t.Errorf("%d + %d = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
