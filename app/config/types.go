package config

import (
	"fmt"
	"log/slog"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

const mask = "********"

// Secret is a value that must not be shown: printing, logging and marshalling
// it gives a mask. Reveal gives the value.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask, or "" when there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString keeps %#v from showing the secret.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue keeps slog from showing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON from showing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// List is a comma-separated list.
type List []string

// UnmarshalText reads the list; spaces around items and empty items vanish.
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	for item := range strings.SplitSeq(string(text), ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

// String returns what UnmarshalText reads.
func (l List) String() string { return strings.Join(l, ",") }

// Networks is a comma-separated list of addresses and networks.
type Networks []netip.Prefix

// UnmarshalText reads the list; an address stands for the network of itself.
func (n *Networks) UnmarshalText(text []byte) error {
	var list List
	if err := list.UnmarshalText(text); err != nil {
		return err
	}
	*n = nil
	for _, item := range list {
		network, err := netip.ParsePrefix(item)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(item); err == nil {
				network, err = address.Prefix(address.BitLen())
			}
		}
		if err != nil {
			return fault.Newf(fault.Invalid, "holds %q, which is neither an address nor a network", item).
				WithFix("List addresses or networks, such as 10.0.0.5,192.168.0.0/24.")
		}
		*n = append(*n, network.Masked())
	}
	return nil
}

// String returns what UnmarshalText reads.
func (n Networks) String() string {
	items := make(List, len(n))
	for i, network := range n {
		items[i] = network.String()
	}
	return items.String()
}

// Size is a number of bytes.
type Size int64

var units = []struct {
	name  string
	bytes Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}}

// UnmarshalText reads a whole number with a unit, such as "32MiB" or "20 MB",
// or a plain number of bytes.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), Size(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(strings.ToLower(number), strings.ToLower(u.name)); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	high, product := bits.Mul64(n, uint64(unit))
	if err != nil || high != 0 || product > 1<<62 {
		return fault.Newf(fault.Invalid, "is %q, which is not a size", text).
			WithFix("Write a whole number with a unit, such as 32MiB or 512KiB.")
	}
	*s = Size(product)
	return nil
}

// String returns the size in the largest unit that leaves a whole number.
func (s Size) String() string {
	for _, u := range units[:3] {
		if s >= u.bytes && s%u.bytes == 0 {
			return fmt.Sprintf("%d%s", s/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
