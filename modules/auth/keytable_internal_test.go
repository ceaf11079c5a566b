package auth

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A key that is in no table is compared as one that is, be it revoked: what a
// caller can measure does not tell them apart. Without a comparison it would
// take a fraction of the time.
func TestMatches_B03_takesAsLongWithoutAKey(t *testing.T) { //nolint:paralleltest // takes times
	table, text := TableOfOne(t.TempDir())
	id, _, _ := splitKey(text)
	known, wrong := (*table.keys.Load())[id], strings.Repeat("x", secretLen)
	fastest := func(k *apiKey) time.Duration {
		rounds := make([]time.Duration, 50)
		for i := range rounds {
			begun := time.Now()
			for range 200 {
				if table.matches(k, wrong) {
					t.Fatal("a wrong secret matches")
				}
			}
			rounds[i] = time.Since(begun)
		}
		return slices.Min(rounds)
	}
	if unknown, revoked := fastest(nil), fastest(known); unknown < revoked/2 || revoked < unknown/2 {
		t.Errorf("200 comparisons take %v without a key and %v with one", unknown, revoked)
	}
}
