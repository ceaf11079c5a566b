package views_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

func TestEUR_writesForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want, fine string }{
		{"0", "0.00 €", "0.00 €"},
		{"1284.07", "1,284.07 €", "1,284.07 €"},
		{"1284567.005", "1,284,567.01 €", "1,284,567.01 €"},
		{"-12.5", "−12.50 €", "−12.50 €"},
		{"0.1994", "0.20 €", "0.1994 €"},
		{"0.196", "0.20 €", "0.196 €"},
		{"0.5", "0.50 €", "0.50 €"},
		{"0.0043", "0.00 €", "0.0043 €"},
		{"0.0005", "0.00 €", "0.0005 €"},
		{"0.00051", "0.00 €", "0.00051 €"},
		{"0.000043", "0.00 €", "0.000043 €"},
		{"0.0000434", "0.00 €", "0.000043 €"},
		{"0.000000001", "0.00 €", "0.000000001 €"},
	} {
		if got := views.EUR(eur(c.in)); got != c.want {
			t.Errorf("EUR(%s) = %q, want %q", c.in, got, c.want)
		}
		if got := views.EURFine(eur(c.in)); got != c.fine {
			t.Errorf("EURFine(%s) = %q, want %q", c.in, got, c.fine)
		}
	}
}

// An amount that is not zero is never shown as nothing.
func TestEURFine_neverHidesAnAmount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := money.EUR(rapid.Int64Range(1, 1<<62).Draw(t, "nano"))
		if got := views.EURFine(e); got == "0.00 €" {
			t.Fatalf("EURFine(%d) = %q", e, got)
		}
	})
}

func TestRate_keepsTheDecimalsAPriceHas(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"0.79": "0.79", "0.7875": "0.7875", "1.469916": "1.4699", "2.5": "2.50", "1200": "1,200.00", "0": "0.00"} {
		if got := views.Rate(eur(in)); got != want {
			t.Errorf("Rate(%s) = %q, want %q", in, got, want)
		}
	}
}

func TestTook_readsWell(t *testing.T) {
	t.Parallel()
	for in, want := range map[time.Duration]string{
		-time.Second: "0 s", 400 * time.Millisecond: "0.4 s", 3149 * time.Millisecond: "3.1 s", 9960 * time.Millisecond: "9 s",
		21 * time.Second: "21 s", 128 * time.Second: "2 min 8 s", 184 * time.Minute: "3 h 4 min", 148 * time.Hour: "6 d 4 h",
	} {
		if got := views.Took(in); got != want {
			t.Errorf("Took(%v) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[time.Duration]string{
		2 * time.Second: "about 5 seconds", 43 * time.Second: "about 45 seconds", 100 * time.Second: "about 2 minutes",
		61 * time.Minute: "about 61 minutes", 2 * time.Hour: "about 2 hours",
	} {
		if got := views.Soon(in); got != want {
			t.Errorf("Soon(%v) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[time.Duration]string{184 * time.Millisecond: "184 ms", 1200 * time.Millisecond: "1.20 s"} {
		if got := views.Millis(in); got != want {
			t.Errorf("Millis(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestTokens_usesThreeFigures(t *testing.T) {
	t.Parallel()
	for in, want := range map[int64]string{0: "0", 9812: "9,812", 99_999: "99,999", 412_400: "412 k", 61_240_000: "61.2 M", 4_500_000_000: "4.5 G"} {
		if got := views.Tokens(in); got != want {
			t.Errorf("Tokens(%d) = %q, want %q", in, got, want)
		}
	}
	if got := views.Plural(1, "model", "models") + views.Plural(1200, "model", "models"); got != "1 model1,200 models" {
		t.Errorf("Plural = %q", got)
	}
}
