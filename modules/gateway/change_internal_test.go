package gateway

import (
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// TestLease_holdsAfterAChange asks two services for more than a rate, second by
// second, before and after it is changed. Once both know the change, they let in
// over any time the limit and one minute's worth, and over a minute all of it, or
// three quarters where the requests go to one of them.
func TestLease_holdsAfterAChange(t *testing.T) {
	t.Parallel()
	const change, end = 45, 45 + 3 + 75
	for name, c := range map[string]struct {
		before, after int64
		asked         [2]int // of each in a second
	}{
		"raised, at both":    {60, 600, [2]int{20, 20}},
		"raised, at one":     {60, 600, [2]int{20, 0}},
		"raised, unused":     {300, 600, [2]int{0, 0}},
		"halved, at both":    {600, 300, [2]int{20, 20}},
		"halved, at one":     {600, 300, [2]int{20, 0}},
		"to a tenth, at one": {600, 60, [2]int{0, 20}},
		"set, at both":       {0, 600, [2]int{20, 20}},
		"set, at one":        {0, 600, [2]int{0, 20}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newBed(t, dbtest.New(t))
			a.limitTo(t, limit.Key, limit.Settings{RequestsPerMinute: c.before})
			beds := [2]*bed{a, a.twin(t)}
			let := make([]int64, end)
			for second := range end {
				if second == change {
					a.limitTo(t, limit.Key, limit.Settings{RequestsPerMinute: c.after})
				}
				for i, b := range beds {
					asked := c.asked[i]
					if second >= change && c.asked == [2]int{} {
						asked = 20
					}
					let[second] += b.second(t, asked)
				}
			}
			least := c.after
			if c.asked[0] != c.asked[1] {
				least = least * 3 / 4
			}
			for from := change + 3; from < end; from++ { // a change holds within three seconds
				var n int64
				for to := from; to < end; to++ {
					n += let[to]
					seconds := int64(to - from + 1)
					if most := c.after*seconds/60 + c.after + 2; n > most {
						t.Fatalf("%d entered in the %d s from %d s after the change, want at most %d", n, seconds, from-change, most)
					}
					if seconds == 60 && n < least*97/100 {
						t.Fatalf("%d entered in the minute from %d s after the change, want %d", n, from-change, least)
					}
				}
			}
		})
	}
}

// second asks a service so many times, and lets a second of its limits pass.
func (b *bed) second(t *testing.T, asked int) (let int64) {
	t.Helper()
	g := b.gate(b.keyID)
	for range asked {
		if g == nil { // there is no limit
			let++
		} else if _, ok := g.Requests.Take(1, b.admission.now()); ok {
			let++
		}
	}
	b.readLimits(t)
	b.admission.base = b.admission.base.Add(-time.Second)
	return let
}
