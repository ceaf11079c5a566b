package auth

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

// Guessing is slowed down, never locked out: an account's attempts beyond five
// cost 1 s, 2 s, 4 s and at most 15 minutes of waiting each, an address has 20 a
// minute. The counts are in the database, so replicas share them, and an
// attempt is counted before its password is looked at, so a burst is too.
const (
	freePerAccount = 5
	freePerAddress = 20
)

// tryAddress counts an attempt from an address and returns how to take it back.
// It fails with fault.Throttled.
func (s *Service) tryAddress(ctx context.Context, ip string) (refund func() error, err error) {
	key := "address:" + network(ip)
	if _, err := s.q().TryAddress(ctx, authdb.TryAddressParams{Key: key, Free: freePerAddress}); err != nil {
		return nil, s.refuse(ctx, key, err)
	}
	return s.refunder(ctx, key), nil
}

// tryAccount counts an attempt on an account. An address from which its user
// has signed in of late has a count of its own there, so that nobody else can
// make him wait.
func (s *Service) tryAccount(ctx context.Context, email string, user uuid.UUID, ip string) (key string, refund func() error, err error) {
	key = "account:" + hex.EncodeToString(tokenHash(email)) // people type passwords into the wrong field
	known, err := s.q().KnownAddress(ctx, authdb.KnownAddressParams{UserID: user, Ip: ip})
	if err != nil {
		return "", nil, fmt.Errorf("look up the address: %w", err)
	}
	if known {
		key += "@" + network(ip)
	}
	if _, err := s.q().TryAccount(ctx, authdb.TryAccountParams{Key: key, Free: freePerAccount}); err != nil {
		return "", nil, s.refuse(ctx, key, err)
	}
	return key, s.refunder(ctx, key), nil
}

func (s *Service) refunder(ctx context.Context, key string) func() error {
	return func() error {
		if err := s.q().RefundAttempt(context.WithoutCancel(ctx), key); err != nil {
			return fmt.Errorf("take back an attempt: %w", err)
		}
		return nil
	}
}

// refuse turns "no row" into a sentence that says how long to wait.
func (s *Service) refuse(ctx context.Context, key string, err error) error {
	if !none(err) {
		return fmt.Errorf("count an attempt: %w", err)
	}
	secs, err := s.q().BlockedFor(ctx, key)
	if err != nil && !none(err) {
		return fmt.Errorf("count an attempt: %w", err)
	}
	wait := int(math.Max(1, math.Ceil(secs)))
	return fault.Newf(fault.Throttled, "There were too many attempts. Try again in %d seconds.", wait).
		WithKind("sign_in_throttled").WithAfter(time.Duration(wait) * time.Second)
}

// network returns what counts as one address: an IPv4 address, or the /64 that
// an IPv6 subscriber has for himself.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}
