package limit

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	window  = int64(time.Minute) // a bucket that is empty is full after it
	maxDebt = int64(time.Hour)   // a request that used far more than it asked for locks nobody out for longer
)

// Rate is a token bucket for so many units a minute, which is also what fits
// into it. Instants are nanoseconds of any clock that never goes back.
//
// A request that is greater than the bucket is let in when the bucket is full,
// and leaves a debt: the rate holds in the long run, also where a replica has
// a small part of it. The zero Rate must be Set before use.
type Rate struct {
	perMinute atomic.Uint64 // bits of a float64
	full      atomic.Int64  // when the bucket is full again
	asked     atomic.Int64  // units since Asked
}

// Set changes the rate and keeps what is in the bucket; a new one is full.
func (r *Rate) Set(perMinute float64, now int64) {
	old := math.Float64frombits(r.perMinute.Swap(math.Float64bits(perMinute)))
	if old == 0 || old == perMinute {
		return
	}
	for { // requests go on taking meanwhile
		full := r.full.Load()
		level := old - old*float64(max(full-now, 0))/float64(window)
		if r.full.CompareAndSwap(full, now+int64((perMinute-level)/perMinute*float64(window))) {
			return
		}
	}
}

// Take takes n units, or says after which time it may be tried again.
func (r *Rate) Take(n, now int64) (wait time.Duration, ok bool) {
	r.asked.Add(n)
	need := r.span(n)
	for {
		full := r.full.Load()
		debt := max(full-now, 0)
		if wait := debt + min(need, window) - window; wait > 0 {
			return time.Duration(wait), false
		}
		if r.full.CompareAndSwap(full, now+debt+need) {
			return 0, true
		}
	}
}

// Give gives n units back; a negative n takes them, whatever is there.
func (r *Rate) Give(n, now int64) {
	span := r.span(n)
	for {
		full := r.full.Load()
		next := min(max(full, now)-span, now+maxDebt)
		if r.full.CompareAndSwap(full, next) {
			return
		}
	}
}

// Standing is how a rate stands: what is left of its limit, and when all of it
// will be again.
type Standing struct {
	Limit, Remaining int64
	Reset            time.Duration
}

// Standing tells how the bucket stands, as a part of limit.
func (r *Rate) Standing(limit, now int64) Standing {
	debt := max(r.full.Load()-now, 0)
	left := float64(max(window-debt, 0)) / float64(window)
	return Standing{limit, int64(left*float64(limit) + 1e-6), time.Duration(debt)}
}

// Asked returns how many units were asked for since it was last called, let in
// or not.
func (r *Rate) Asked() int64 { return r.asked.Swap(0) }

// span is how long the bucket takes to earn n units.
func (r *Rate) span(n int64) int64 {
	perMinute := math.Float64frombits(r.perMinute.Load())
	return int64(min(max(float64(n)/perMinute*float64(window), -1e18), 1e18))
}
