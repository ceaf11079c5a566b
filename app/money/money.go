// Package money holds amounts of euros, exactly: an int64 of nano-euros in Go
// and numeric in SQL. No float ever touches an amount.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// EUR is an amount in nano-euros (1 € = 1,000,000,000). It covers ±9.2 billion
// euros. Prices per hour and per million tokens are EUR as well; the name of
// the field says which.
type EUR int64

// Units.
const (
	Nano EUR = 1
	Cent EUR = 10_000_000
	Euro EUR = 1_000_000_000
)

const digits = 9 // decimal places of an EUR

// ErrRange is returned for an amount that does not fit or has more than nine
// decimal places.
var ErrRange = errors.New("amount out of range: at most nine decimal places and 9.2 billion euros")

// Parse reads a plain decimal number of euros such as "0.7875" or "-12". It
// accepts a comma for the decimal point, as French forms write it.
func Parse(s string) (EUR, error) {
	text := strings.Replace(strings.TrimSpace(s), ",", ".", 1)
	whole, frac, _ := strings.Cut(text, ".")
	neg := strings.HasPrefix(whole, "-")
	whole = strings.TrimPrefix(whole, "-")
	if whole == "" && frac == "" || len(whole) > 10 || len(frac) > digits {
		return 0, fmt.Errorf("parse amount %q: %w", s, ErrRange)
	}
	n := new(big.Int)
	all := whole + frac + strings.Repeat("0", digits-len(frac))
	for _, c := range all {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("parse amount %q: not a decimal number", s)
		}
	}
	n.SetString(all, 10)
	if neg {
		n.Neg(n)
	}
	if !n.IsInt64() {
		return 0, fmt.Errorf("parse amount %q: %w", s, ErrRange)
	}
	return EUR(n.Int64()), nil
}

// String returns the exact amount as a plain decimal number with at least two
// decimal places, "0.7875" or "12.00", and no currency sign.
func (e EUR) String() string {
	sign, n := "", new(big.Int).SetInt64(int64(e))
	if n.Sign() < 0 {
		sign = "-"
		n.Neg(n)
	}
	s := fmt.Sprintf("%010d", n)
	whole, frac := s[:len(s)-digits], strings.TrimRight(s[len(s)-digits:], "0")
	return sign + whole + "." + frac + strings.Repeat("0", max(0, 2-len(frac)))
}

// Round returns the amount as a decimal number with the given decimal places
// (0 to 9), rounded half away from zero: for people, not for sums.
func (e EUR) Round(places int) string {
	unit := int64(1)
	for range digits - places {
		unit *= 10
	}
	n := int64(e)
	sign := ""
	u := uint64(n)
	if n < 0 {
		sign, u = "-", uint64(-(n+1))+1
	}
	u = (u + uint64(unit)/2) / uint64(unit)
	s := fmt.Sprintf("%0*d", places+1, u)
	if places == 0 {
		return sign + s
	}
	return sign + s[:len(s)-places] + "." + s[len(s)-places:]
}

// PerHour returns what d costs at e per hour, rounded half up to a nano-euro.
func (e EUR) PerHour(d time.Duration) EUR {
	return e.mulDiv(int64(d), int64(time.Hour))
}

// PerMillion returns what n tokens cost at e per million, rounded half up to a
// nano-euro.
func (e EUR) PerMillion(n int64) EUR { return e.mulDiv(n, 1_000_000) }

// mulDiv returns e × n / d for d > 0 without overflow in between, rounded half
// away from zero. What does not fit into an EUR becomes the greatest or the
// least one.
func (e EUR) mulDiv(n, d int64) EUR {
	hi, lo := bits.Mul64(magnitude(int64(e)), magnitude(n))
	lo, carry := bits.Add64(lo, uint64(d/2), 0)
	hi += carry
	q := uint64(math.MaxUint64)
	if hi < uint64(d) {
		q, _ = bits.Div64(hi, lo, uint64(d))
	}
	if (e < 0) == (n < 0) {
		return EUR(min(q, math.MaxInt64))
	}
	return EUR(-int64(min(q, math.MaxInt64)))
}

// Plus returns e + o. What does not fit into an EUR becomes the greatest or the
// least one.
func (e EUR) Plus(o EUR) EUR {
	switch sum := e + o; {
	case e > 0 && o > 0 && sum < 0:
		return math.MaxInt64
	case e < 0 && o < 0 && sum >= 0:
		return math.MinInt64
	default:
		return sum
	}
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// ScanNumeric implements pgtype.NumericScanner.
func (e *EUR) ScanNumeric(v pgtype.Numeric) error {
	if !v.Valid || v.NaN || v.InfinityModifier != pgtype.Finite {
		return errors.New("scan amount: not a finite number")
	}
	n, exp := new(big.Int).Set(v.Int), v.Exp+digits
	ten := big.NewInt(10)
	for ; exp > 0; exp-- {
		n.Mul(n, ten)
	}
	for ; exp < 0; exp++ {
		if _, rem := n.QuoRem(n, ten, new(big.Int)); rem.Sign() != 0 {
			return ErrRange
		}
	}
	if !n.IsInt64() {
		return ErrRange
	}
	*e = EUR(n.Int64())
	return nil
}

// NumericValue implements pgtype.NumericValuer.
func (e EUR) NumericValue() (pgtype.Numeric, error) {
	return pgtype.Numeric{Int: big.NewInt(int64(e)), Exp: -digits, Valid: true}, nil
}

// MarshalText writes the exact decimal number, so JSON holds a string and no
// reader makes a float of it by accident.
func (e EUR) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what Parse reads.
func (e *EUR) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err == nil {
		*e = v
	}
	return err
}
