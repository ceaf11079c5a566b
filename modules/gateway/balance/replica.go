package balance

import (
	"sync"
	"sync/atomic"
	"time"
)

// Cause is why a replica is ejected.
type Cause string

// The causes.
const (
	Connection Cause = "connection" // it could not be reached, or broke off
	Canary     Cause = "canary"     // it failed the checks that nobody waits for
	Stalled    Cause = "stalled"    // it has work and has generated nothing for a minute
)

const (
	stallTime = time.Minute
	trialTime = 30 * time.Second // for a request to show that an ejected replica is well
	quietTime = 5 * time.Minute  // without a failure, after which pauses are short again
	maxPause  = 2 * time.Minute
)

// firstPause is how long a replica is ejected the first time. What a request
// can be sent elsewhere for is tried again soon; what makes a request hang is
// left to the canary for a while.
func (c Cause) firstPause() time.Duration {
	if c == Connection {
		return time.Second
	}
	return 30 * time.Second
}

// Replica is one server, as this process knows it. Make it with NewReplica. It
// is safe for concurrent use.
type Replica struct {
	seed uint64

	inFlight atomic.Int64 // requests of this process that it has
	streams  atomic.Int64 // those of them that are streams
	moved    atomic.Int64 // when it last sent a piece of an answer
	until    atomic.Int64 // 0: eligible; t: ejected until t; -t: on trial until t
	took     atomic.Int64 // nanoseconds of the answers since the last Set
	tokens   atomic.Int64 // of the same answers

	mu       sync.Mutex
	cause    Cause
	since    time.Duration // when it was ejected, or came back
	failures int           // in a row, a burst being one
	failedAt time.Duration
	canaries int // failed in a row
	report   Gauges
	others   float64       // work of other processes, by the last report
	working  bool          // it had work when last looked at
	workAt   time.Duration // since when
	speed    speed
}

// NewReplica returns an eligible replica without work. The id tells it from
// others, and is the same in every process.
func NewReplica(id []byte) *Replica { return &Replica{seed: Key(id)} }

// Begin counts a request that the replica is given. End must follow, once.
func (r *Replica) Begin(stream bool) {
	r.inFlight.Add(1)
	if stream {
		r.streams.Add(1)
	}
}

// End takes back what Begin counted.
func (r *Replica) End(stream bool) {
	r.inFlight.Add(-1)
	if stream {
		r.streams.Add(-1)
	}
}

// InFlight returns how many requests of this process the replica has.
func (r *Replica) InFlight() int64 { return r.inFlight.Load() }

// Moved notes that the replica has sent a piece of an answer. It is called for
// every piece, and writes once a second.
func (r *Replica) Moved(now time.Duration) {
	if now-time.Duration(r.moved.Load()) >= time.Second {
		r.moved.Store(int64(now))
	}
}

// LastMoved returns when the replica last sent a piece of an answer, to the
// second.
func (r *Replica) LastMoved() time.Duration { return time.Duration(r.moved.Load()) }

// Finished notes how long a whole answer took and how many tokens it has.
func (r *Replica) Finished(took time.Duration, tokens int64) {
	r.took.Add(int64(took))
	r.tokens.Add(max(tokens, 1))
}

// Fail ejects the replica, for a pause that grows with each failure after a
// pause, and reports whether it was eligible or on trial. Failures within a pause are the
// same incident and only make it last.
func (r *Replica) Fail(cause Cause, now time.Duration) (ejected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	within := r.until.Load() > int64(now)
	if now-r.failedAt > quietTime {
		r.failures = 0
	}
	if !within || r.failures == 0 {
		r.failures++
	}
	if r.until.Load() == 0 {
		r.since = now
	}
	r.failedAt, r.cause = now, cause
	pause := min(cause.firstPause()<<min(r.failures-1, 16), maxPause)
	r.until.Store(max(r.until.Load(), int64(now+pause)))
	return !within
}

// Answered takes the replica back, if it was ejected, and reports whether it
// was: it has begun to answer.
func (r *Replica) Answered(now time.Duration) (back bool) {
	if r.until.Load() == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until.Swap(0) == 0 {
		return false
	}
	r.cause, r.since, r.canaries = "", now, 0
	return true
}

// canaryLimit is how many canaries must fail in a row.
const canaryLimit = 3

// CanaryFailed notes that a canary failed, and reports whether it was the one
// that ejected the replica. One that is ejected already stays so the longer.
func (r *Replica) CanaryFailed(now time.Duration) (ejected bool) {
	r.mu.Lock()
	r.canaries++
	enough := r.canaries >= canaryLimit || r.Ejected()
	r.mu.Unlock()
	return enough && r.Fail(Canary, now)
}

// CanaryPassed notes that a canary was answered, and reports whether it brought
// the replica back.
func (r *Replica) CanaryPassed(now time.Duration) (back bool) {
	r.mu.Lock()
	r.canaries = 0
	r.mu.Unlock()
	return r.Answered(now)
}

// Ejected reports whether the replica is sent no requests but trials, as long
// as there are others.
func (r *Replica) Ejected() bool { return r.until.Load() != 0 }

// Due reports whether the replica is ejected and its pause, or trial, is over.
func (r *Replica) Due(now time.Duration) bool {
	u := r.until.Load()
	return u != 0 && max(u, -u) <= int64(now)
}

// claimTrial reports whether the replica's pause is over and this is the one
// request that shall show whether it is well again.
func (r *Replica) claimTrial(now time.Duration) bool {
	u := r.until.Load()
	return u != 0 && max(u, -u) <= int64(now) && r.until.CompareAndSwap(u, -int64(now+trialTime))
}

// State is what people are told of a replica.
type State struct {
	Ejected  bool
	Cause    Cause         // of the ejection
	Since    time.Duration // when it was ejected or came back; 0: it never was
	InFlight int64
}

// State returns how the replica is.
func (r *Replica) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return State{Ejected: r.Ejected(), Cause: r.cause, Since: r.since, InFlight: r.inFlight.Load()}
}
