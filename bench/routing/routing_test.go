package main

import (
	"slices"
	"testing"
	"time"
)

// TestSimulate_theGatewaysChoiceIsBetter is what docs/routing.md claims, on a
// shorter load.
func TestSimulate_theGatewaysChoiceIsBetter(t *testing.T) {
	t.Parallel()
	results := map[string]result{}
	for _, way := range ways {
		results[way.name] = measure(1, 6*time.Minute, 18, way.make)
	}
	best := results["balance, clients name their session"]
	for _, ours := range []result{results["balance"], best} {
		for _, simple := range []string{"round robin", "random", "least outstanding"} {
			if a, b := quantile(ours.waits, 0.99), quantile(results[simple].waits, 0.99); a*4 > b*3 {
				t.Errorf("p99 %s, %s: %s", a, simple, b)
			}
			if a, b := ours.share(), results[simple].share(); a < b+0.15 {
				t.Errorf("from the cache %.2f, %s: %.2f", a, simple, b)
			}
		}
	}
}

func TestSimulate_isRepeatable(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		a, b := measure(1, 3*time.Minute, 18, way.make), measure(1, 3*time.Minute, 18, way.make)
		if len(a.waits) == 0 || !slices.Equal(a.waits, b.waits) || a.cached != b.cached {
			t.Errorf("%s: two runs differ", way.name)
		}
	}
}

// TestEngine_cachesWhatItHasSeen checks the model itself on requests one after
// the other.
func TestEngine_cachesWhatItHasSeen(t *testing.T) {
	t.Parallel()
	document := segment{1, 4000}
	load := []*request{
		{at: warmUp, prompt: []segment{document, {2, 96}}, answer: 1},
		{at: warmUp + time.Minute, prompt: []segment{document, {3, 48}}, answer: 1},
	}
	res := simulate(load, &roundRobin{counts: make(counts, len(speeds)), turn: -1})
	if res.cached != 0 {
		t.Errorf("another replica had %d tokens in its cache", res.cached)
	}
	for _, r := range load {
		*r = request{at: r.at, prompt: r.prompt, answer: 1}
	}
	res = simulate(load, always(2))
	cold := 2*stepTime + 4096*prefillTime // two steps of 2048
	warm := stepTime + 48*prefillTime
	if want := []time.Duration{warm, cold}; res.cached != 4000 || !slices.Equal(res.waits, want) {
		t.Errorf("%d tokens from the cache, first tokens after %v, want %v", res.cached, res.waits, want)
	}
}

// always is one replica.
type always int

func (a always) pick(*request, time.Duration) int { return int(a) }
func (always) took(*request)                      {}
func (always) ended(*request)                     {}
func (always) second(time.Duration, []*engine)    {}
