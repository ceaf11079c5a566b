package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// policy chooses a replica for a request.
type policy interface {
	pick(r *request, now time.Duration) int
	took(r *request) // it has been given the replica that was picked
	ended(r *request)
	second(now time.Duration, engines []*engine) // called once every second
}

// counts are requests in flight per replica, all that the simple policies know.
type counts []int

func (c counts) took(r *request)                 { c[r.replica]++ }
func (c counts) ended(r *request)                { c[r.replica]-- }
func (c counts) second(time.Duration, []*engine) {}

type roundRobin struct {
	counts

	turn int
}

func (p *roundRobin) pick(*request, time.Duration) int {
	p.turn++
	return p.turn % len(p.counts)
}

type random struct {
	counts

	r *rand.Rand
}

func (p *random) pick(*request, time.Duration) int { return p.r.IntN(len(p.counts)) }

// leastOutstanding is least work with turns among equals.
type leastOutstanding struct {
	counts

	turn int
}

func (p *leastOutstanding) pick(*request, time.Duration) int {
	p.turn++
	best := p.turn % len(p.counts)
	for i := range p.counts {
		if j := (p.turn + i) % len(p.counts); p.counts[j] < p.counts[best] {
			best = j
		}
	}
	return best
}

// ours is the gateway's choice: the package itself, fed as routes.go feeds it.
type ours struct {
	r        *rand.Rand
	replicas []*balance.Replica
	set      balance.Set
	prefixes bool // use the key of the prompt
	sessions bool // clients send X-Inventiv-Session
	reported time.Duration
}

func newOurs(seed uint64, n int, prefixes, sessions bool) *ours {
	p := &ours{r: rand.New(rand.NewPCG(seed, 2)), prefixes: prefixes, sessions: sessions}
	for i := range n {
		p.replicas = append(p.replicas, balance.NewReplica(fmt.Appendf(nil, "replica %d", i)))
	}
	p.set = balance.NewSet(p.replicas, 0)
	return p
}

func (p *ours) pick(r *request, now time.Duration) int {
	key := uint64(0)
	if p.prefixes {
		key = r.key
	}
	if p.sessions && r.session != 0 {
		key = r.session
	}
	return p.set.Pick(balance.Choice{Key: key, Draw: p.r.Uint64(), Now: now, Except: -1})
}

func (p *ours) took(r *request) { p.replicas[r.replica].Begin(true) }

func (p *ours) ended(r *request) {
	replica := p.replicas[r.replica]
	replica.Moved(r.finished)
	replica.Finished(r.finished-r.at, int64(r.answer))
	replica.End(true)
}

func (p *ours) second(now time.Duration, engines []*engine) {
	if now-p.reported >= reportPeriod {
		p.reported = now
		for i, e := range engines {
			p.replicas[i].Report(balance.Gauges{
				At: time.Unix(0, int64(now)), Running: len(e.running), Waiting: len(e.waiting),
				Cache: min(1, float64(e.held)/cacheTokens), Generated: e.generated,
			}, now)
		}
	}
	for _, r := range p.replicas {
		r.Watch(now)
	}
	p.set = balance.NewSet(p.replicas, now)
}
