package balance

import (
	"math"
	"time"
)

const (
	// spread is how much more than its share of all work a replica may have
	// before requests with a key go on to the next one: the 1+ε of the paper.
	spread = 1.5
	// slack is what a replica may always have: engines answer a few requests at
	// once as fast as one, and with little work the share is less than that.
	slack = 8
	// fullCache is how much of the KV cache may be in use before an engine is
	// about to put requests off that it has begun.
	fullCache = 0.8
)

// Set is the replicas of a model at one moment. It is safe for concurrent use.
type Set struct{ members []member }

type member struct {
	*Replica

	weight float64 // how fast it is, beside the others
	others float64 // work that is not ours
	strain float64 // what each request counts, 1 or more
}

// NewSet returns the set of replicas, weighted by how fast they have answered.
func NewSet(replicas []*Replica, now time.Duration) Set {
	s := Set{members: make([]member, len(replicas))}
	var took, tokens float64
	for _, r := range replicas {
		r.mu.Lock()
		r.speed.takeUp(r.took.Swap(0), r.tokens.Swap(0), now)
		if _, known := r.speed.pace(); known {
			took, tokens = took+r.speed.took, tokens+r.speed.tokens
		}
		r.mu.Unlock()
	}
	for i, r := range replicas {
		r.mu.Lock()
		s.members[i] = member{
			Replica: r, weight: r.speed.compare(took/max(tokens, 1), tokens > 0),
			others: r.others + float64(r.report.Waiting), // one that waits counts twice: it has not begun
			strain: 1 + max(0, r.report.Cache-fullCache)/(1-fullCache),
		}
		r.mu.Unlock()
	}
	return s
}

// Len returns how many replicas the set has.
func (s *Set) Len() int { return len(s.members) }

// Usable reports whether a request has a chance: a replica is eligible, or due
// for a trial.
func (s *Set) Usable(now time.Duration) bool {
	for i := range s.members {
		if m := &s.members[i]; !m.Ejected() || m.Due(now) {
			return true
		}
	}
	return false
}

// load is the replica's work, in requests.
func (m *member) load() float64 { return (float64(m.inFlight.Load()) + m.others) * m.strain }

// Choice is what a replica is picked for.
type Choice struct {
	Key    uint64        // what has the same key should meet the same replica; 0: none
	Draw   uint64        // a random number
	Now    time.Duration // for ejected replicas whose pause is over
	Except int           // the replica that was tried already; -1: none
}

// Pick returns the index of the replica that a request should be sent to, or -1
// if there is none but the one that was tried. If all are ejected it chooses
// among them, so the last one is never kept from its chance.
func (s *Set) Pick(c Choice) int {
	if len(s.members) <= 1 {
		if c.Except == 0 {
			return -1
		}
		return len(s.members) - 1
	}
	eligible := 0
	for i := range s.members {
		switch m := &s.members[i]; {
		case i == c.Except:
		case !m.Ejected():
			eligible++
		case c.Except < 0 && m.claimTrial(c.Now): // it can be sent elsewhere still
			return i
		}
	}
	f := field{set: s, except: c.Except, all: eligible == 0}
	if eligible == 0 {
		if eligible = len(s.members); c.Except >= 0 {
			eligible--
		}
	}
	if c.Key != 0 {
		if i := f.ranked(c.Key); i >= 0 {
			return i
		}
	}
	if i := f.betterOfTwo(c.Draw, eligible); i >= 0 {
		return i
	}
	f.all = true // the last one was ejected at this very moment
	return f.nth(0)
}

// field is the members of a set that a request may go to.
type field struct {
	set    *Set
	except int
	all    bool // none is eligible
}

func (f *field) has(i int) bool { return i != f.except && (f.all || !f.set.members[i].Ejected()) }

// ranked returns the replica that comes first for the key among those with
// room. For each replica the key draws a waiting time, exponential with the
// replica's weight as its rate: the shortest comes first, each is first for its
// share of keys, and one that comes or goes moves its own keys only.
func (f *field) ranked(key uint64) int {
	var load, weight float64
	for i := range f.set.members {
		if m := &f.set.members[i]; f.has(i) {
			load, weight = load+m.load(), weight+m.weight
		}
	}
	share := spread * (load + 1) / weight
	best, shortest := -1, math.Inf(1)
	for i := range f.set.members {
		m := &f.set.members[i]
		if !f.has(i) || m.load() >= max(slack, share)*m.weight {
			continue
		}
		uniform := (float64(mix(key^m.seed, k0)>>11) + 0.5) / (1 << 53)
		if wait := -math.Log(uniform) / m.weight; wait < shortest {
			best, shortest = i, wait
		}
	}
	return best
}

// betterOfTwo draws two of the n replicas of the field and returns the one that
// has less work for its weight.
func (f *field) betterOfTwo(draw uint64, n int) int {
	first := int(draw >> 32 % uint64(n))
	if n == 1 {
		return f.nth(first)
	}
	second := int(draw & math.MaxUint32 % uint64(n-1))
	if second >= first {
		second++
	}
	a, b := f.nth(first), f.nth(second)
	if a < 0 || b < 0 { // one was ejected meanwhile
		return max(a, b)
	}
	x, y := &f.set.members[a], &f.set.members[b]
	if (y.load()+1)*x.weight < (x.load()+1)*y.weight {
		return b
	}
	return a
}

// nth returns the index of a replica of the field, counted from 0; -1 if there
// are not as many any more.
func (f *field) nth(n int) int {
	for i := range f.set.members {
		if f.has(i) {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return -1
}
