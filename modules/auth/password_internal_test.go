package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Each hash takes 19 MiB: a flood of sign-ins waits or is sent away, it does not
// take the machine's memory.
func TestHasher_twoAtOnceAndSixteenWait(t *testing.T) {
	t.Parallel()
	h := newHasher()
	var leaves []func()
	for range runningAtOnce {
		leave, err := h.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var refused, gaveUp atomic.Int64
	var wg sync.WaitGroup
	for range waitingAtMost + 5 {
		wg.Go(func() {
			_, _, err := h.verify(ctx, "password", "")
			switch {
			case fault.Is(err, fault.Unavailable):
				if refused.Add(1) == 5 {
					giveUp() // whoever still waits leaves the queue
				}
			case errors.Is(err, context.Canceled):
				gaveUp.Add(1)
			default:
				t.Errorf("verify = %v", err)
			}
		})
	}
	wg.Wait()
	if refused.Load() != 5 || gaveUp.Load() != waitingAtMost {
		t.Errorf("%d were sent away and %d waited, want 5 and %d", refused.Load(), gaveUp.Load(), waitingAtMost)
	}
	for _, leave := range leaves {
		leave()
	}
	phc, err := h.hash(t.Context(), "a password")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{"a password": true, "another": false, "": false} {
		if ok, stale, err := h.verify(t.Context(), password, phc); ok != want || stale || err != nil {
			t.Errorf("verify(%q) = %v, %v, %v", password, ok, stale, err)
		}
	}
	if len(h.slots) != 0 || len(h.queue) != 0 {
		t.Errorf("%d slots and %d places are never given back", len(h.slots), len(h.queue))
	}
}

func TestVerify_refusesWhatIsNoHash(t *testing.T) {
	t.Parallel()
	h := newHasher()
	for _, phc := range []string{"plain", "$2b$12$abc", "$argon2id$v=19$m=x$AA$AA", "$argon2id$v=19$m=19456,t=2,p=1$!$AA", "$argon2id$v=19$m=19456,t=2,p=1$AA$!"} {
		if ok, _, err := h.verify(t.Context(), "x", phc); ok || err == nil {
			t.Errorf("verify against %q = %v, %v", phc, ok, err)
		}
	}
	if ok, _, err := h.verify(t.Context(), "", ""); ok || err != nil {
		t.Errorf("verify against nothing = %v, %v", ok, err)
	}
}
