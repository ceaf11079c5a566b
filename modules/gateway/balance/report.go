package balance

import (
	"math"
	"time"
)

// Gauges are an engine's own figures.
type Gauges struct {
	At               time.Time // of the report, by any clock: another moment is another report
	Running, Waiting int
	Cache            float64 // share of the KV cache that running requests hold, 0 to 1
	Generated        int64   // tokens since the engine started
}

// Report takes up what the replica's engine says of itself. What it has beyond
// our own requests is the work of other processes: ours are known to the moment,
// theirs by the report alone.
func (r *Replica) Report(g Gauges, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.At.Equal(r.report.At) {
		return
	}
	if g.Generated != r.report.Generated {
		r.Moved(now)
	}
	r.others = float64(max(0, int64(g.Running+g.Waiting)-r.inFlight.Load()))
	r.report = g
}

// Watch ejects the replica if it has work and has generated nothing for a
// minute, and takes it back when it moves again. It is called every second or
// so, and reports whether either happened.
func (r *Replica) Watch(now time.Duration) (changed bool) {
	r.mu.Lock()
	work := r.streams.Load() > 0 || r.report.Running > 0
	if work && !r.working {
		r.workAt = now
	}
	r.working = work
	moved := r.LastMoved()
	stalled := work && now-max(moved, r.workAt) >= stallTime
	again := r.cause == Stalled && moved > r.failedAt
	fresh := stalled && r.cause != Stalled
	r.mu.Unlock()
	switch {
	case stalled: // also makes the pause last
		return r.Fail(Stalled, now) && fresh
	case again:
		return r.Answered(now)
	}
	return false
}

// speed is how fast a replica answers, from the answers of the last minutes.
type speed struct {
	at       time.Duration
	took     float64 // nanoseconds, the older the less they count
	tokens   float64
	relative float64 // to the others of the set, 1 until it is known
}

const (
	speedMemory = 2 * time.Minute
	knownTokens = 256 // how many tokens make a speed known
	step        = 1.2 // changes below this are noise, and would move sessions for nothing
	maxRelative = 4
)

// takeUp adds the answers since the last time.
func (s *speed) takeUp(took, tokens int64, now time.Duration) {
	fade := math.Exp(-float64(now-s.at) / float64(speedMemory))
	s.at = now
	s.took = s.took*fade + float64(took)
	s.tokens = s.tokens*fade + float64(tokens)
}

// pace returns the nanoseconds per token; false while it is not known.
func (s *speed) pace() (float64, bool) { return s.took / s.tokens, s.tokens >= knownTokens }

// compare settles the relative speed by the pace of the whole set.
func (s *speed) compare(all float64, known bool) float64 {
	if s.relative == 0 {
		s.relative = 1
	}
	own, ok := s.pace()
	if !known || !ok || own == 0 {
		return s.relative
	}
	now := min(max(all/own, 1.0/maxRelative), maxRelative)
	if now > s.relative*step || now < s.relative/step {
		s.relative = now
	}
	return s.relative
}
