// Command routing simulates how the choice of a replica decides on how long
// people wait for the first token, and how much of their prompts is not computed
// anew. It runs the gateway's own package balance next to simpler ways.
//
//	go run ./bench/routing [-seeds 5] [-length 12m]
//
// Nothing in it depends on the machine or its clock: the same seed gives the
// same table. docs/routing.md says what is simulated and holds the table.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// speeds are those of the eight replicas: two of the newest cards, four
// middling ones and two old ones.
var speeds = []float64{2, 2, 1, 1, 1, 1, 0.5, 0.5}

// warmUp is left out of the figures: caches and speeds are not known yet.
const warmUp = 2 * time.Minute

// ways are the policies, in the order of the table.
var ways = []struct {
	name string
	make func(seed uint64) policy
}{
	{"round robin", func(uint64) policy { return &roundRobin{counts: make(counts, len(speeds))} }},
	{"random", func(seed uint64) policy {
		return &random{make(counts, len(speeds)), rand.New(rand.NewPCG(seed, 3))}
	}},
	{"least outstanding", func(uint64) policy { return &leastOutstanding{counts: make(counts, len(speeds))} }},
	{"balance without keys", func(seed uint64) policy { return newOurs(seed, len(speeds), false, false) }},
	{"balance", func(seed uint64) policy { return newOurs(seed, len(speeds), true, false) }},
	{"balance, clients name their session", func(seed uint64) policy { return newOurs(seed, len(speeds), true, true) }},
}

// result is what a policy made of a load.
type result struct {
	waits          []time.Duration // for the first token
	cached, prompt int             // tokens
}

// share is how much of the prompts was in a cache.
func (r result) share() float64 { return float64(r.cached) / float64(r.prompt) }

// simulate serves a load with a policy.
func simulate(load []*request, p policy) result {
	queue := &events{}
	var res result
	engines := make([]*engine, len(speeds))
	for i, speed := range speeds {
		engines[i] = &engine{speed: speed, events: queue, finish: func(r *request) {
			p.ended(r)
			if r.at >= warmUp {
				res.waits = append(res.waits, r.first-r.at)
				res.cached, res.prompt = res.cached+r.cached, res.prompt+r.promptTokens()
			}
		}}
	}
	for _, r := range load {
		queue.add(r.at, func() {
			r.replica = p.pick(r, queue.now)
			p.took(r)
			engines[r.replica].take(r)
		})
	}
	for when := time.Second; when < load[len(load)-1].at; when += time.Second {
		queue.add(when, func() { p.second(queue.now, engines) })
	}
	queue.run()
	slices.Sort(res.waits)
	return res
}

func main() {
	seeds := flag.Uint64("seeds", 5, "loads per cell; their requests are taken together")
	length := flag.Duration("length", 12*time.Minute, "of each load")
	flag.Parse()
	fmt.Fprintln(os.Stdout, "| requests per s | way | first token p50 ms | p99 ms | prompt tokens from the cache |\n|---|---|---|---|---|")
	for _, rate := range []float64{12, 18, 24} {
		for _, way := range ways {
			all := measure(*seeds, *length, rate, way.make)
			fmt.Printf("| %.0f | %s | %d | %d | %.0f %% |\n", rate, way.name,
				quantile(all.waits, 0.5).Milliseconds(), quantile(all.waits, 0.99).Milliseconds(), 100*all.share())
		}
	}
}

// measure takes the results of several seeds together.
func measure(seeds uint64, length time.Duration, rate float64, way func(uint64) policy) result {
	var all result
	for seed := range seeds {
		one := simulate(makeLoad(seed+1, length, rate), way(seed+1))
		all.waits = append(all.waits, one.waits...)
		all.cached, all.prompt = all.cached+one.cached, all.prompt+one.prompt
	}
	slices.Sort(all.waits)
	return all
}
