package views

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// EUR writes an amount for people: "1,284.07 €".
func EUR(e money.EUR) string { return Number(e) + " €" }

// Number is EUR without the sign, for places that set the unit apart.
func Number(e money.EUR) string { return group(e.Round(2)) }

// EURFine is EUR for amounts that may be small: four decimal places below a
// euro, "0.1994 €", and two figures that count below a cent, "0.000043 €".
// playground.js writes by the same rules.
func EURFine(e money.EUR) string {
	size := max(e, -e)
	switch {
	case e == 0 || size >= money.Euro:
		return EUR(e)
	case size >= money.Cent:
		return trim(e.Round(4)) + " €"
	}
	places := 4
	for unit := money.Cent / 10; size < unit && unit > 1; unit /= 10 {
		places++
	}
	return trim(e.Round(min(places, 9))) + " €"
}

// trim cuts needless zeros off a decimal number, down to two decimal places.
func trim(s string) string {
	whole, frac, _ := strings.Cut(s, ".")
	if len(frac) <= 2 {
		return group(s)
	}
	return group(whole + "." + frac[:2] + strings.TrimRight(frac[2:], "0"))
}

// Rate writes a price with as many decimal places as it has, two at least and
// four at most: "0.7875", "2.94". The caller adds the unit.
func Rate(e money.EUR) string {
	return trim(e.Round(4))
}

// PerHour writes a price per hour: "0.7875 €/h".
func PerHour(e money.EUR) string { return Rate(e) + " €/h" }

// PerMillion writes a price of tokens: "0.15 €".
func PerMillion(e money.EUR) string { return Rate(e) + " €" }

// Count writes a whole number with thousands apart: "48,210".
func Count[T ~int | ~int32 | ~int64](n T) string { return group(strconv.FormatInt(int64(n), 10)) }

// Tokens writes a number of tokens in three figures or so: "9,812", "61.2 M".
func Tokens(n int64) string {
	switch {
	case n < 100_000:
		return Count(n)
	case n < 1_000_000:
		return strconv.FormatInt((n+500)/1000, 10) + " k"
	case n < 1_000_000_000:
		return tenths(n, 1_000_000) + " M"
	}
	return tenths(n, 1_000_000_000) + " G"
}

func tenths(n, unit int64) string {
	t := (n*10 + unit/2) / unit
	return group(strconv.FormatInt(t/10, 10)) + "." + strconv.FormatInt(t%10, 10)
}

// Plural writes "1 model", "4 models".
func Plural[T ~int | ~int64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Percent writes a share of 0 to 1: "41%".
func Percent(share float64) string { return strconv.Itoa(int(share*100+0.5)) + "%" }

// Took writes how long something lasted: "0.4 s", "21 s", "2 min 8 s",
// "3 h 4 min", "6 d 4 h".
func Took(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 50*time.Millisecond:
		return "< 0.1 s"
	case d < 9950*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// Millis writes a short time: "184 ms", "1.20 s".
func Millis(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
}

// Soon writes a rough time to wait: "about 3 minutes".
func Soon(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return "about " + Plural(max(5, (int(d.Seconds())+4)/5*5), "second", "seconds")
	case d < 90*time.Minute:
		return "about " + Plural(int(d.Minutes()+0.5), "minute", "minutes")
	}
	return "about " + Plural(int(d.Hours()+0.5), "hour", "hours")
}

// group sets thousands apart in a plain decimal number.
func group(s string) string {
	whole, frac, has := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "−", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if has {
		whole += "." + frac
	}
	return sign + whole
}

// The ways of showing an instant; console.js writes them again in the reader's
// own time zone and keeps them ticking.
const (
	showAt    = "at"    // 12 Nov, 21:48
	showClock = "clock" // 21:48:03
	showAgo   = "ago"   // 3 min ago, within a day
	showTook  = "took"  // 3 min 12 s, still running
)

func instant(t time.Time, show string) string {
	u, age := t.UTC(), time.Since(t)
	switch {
	case t.IsZero():
		return "never"
	case show == showClock:
		return u.Format("15:04:05")
	case show == showTook:
		return Took(max(0, age.Truncate(time.Second)))
	case show == showAgo && age < 2*time.Second:
		return "now"
	case show == showAgo && age < time.Minute:
		return strconv.Itoa(int(age.Seconds())) + " s ago"
	case show == showAgo && age < time.Hour:
		return strconv.Itoa(int(age.Minutes())) + " min ago"
	case show == showAgo && age < 24*time.Hour:
		return strconv.Itoa(int(age.Hours())) + " h ago"
	}
	return u.Format("2 Jan, 15:04") + " UTC"
}
