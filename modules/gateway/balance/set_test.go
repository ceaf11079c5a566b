package balance_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// replicas returns n of them, numbered from first.
func replicas(first, n int) []*balance.Replica {
	list := make([]*balance.Replica, n)
	for i := range list {
		list[i] = balance.NewReplica(fmt.Appendf(nil, "replica %d", first+i))
	}
	return list
}

func key(i int) uint64 { return balance.Key(fmt.Appendf(nil, "session %d", i)) }

func TestPick_withoutAChoice(t *testing.T) {
	t.Parallel()
	none, one, two := balance.NewSet(nil, 0), balance.NewSet(replicas(0, 1), 0), balance.NewSet(replicas(0, 2), 0)
	for _, tt := range []struct {
		set          *balance.Set
		except, want int
	}{{&none, -1, -1}, {&one, -1, 0}, {&one, 0, -1}, {&two, 0, 1}, {&two, 1, 0}} {
		for _, k := range []uint64{0, key(1)} {
			if got := tt.set.Pick(balance.Choice{Key: k, Draw: 7, Except: tt.except}); got != tt.want {
				t.Errorf("%d replicas but %d: picked %d, want %d", tt.set.Len(), tt.except, got, tt.want)
			}
		}
	}
}

func TestPick_aKeyKeepsItsReplica(t *testing.T) {
	t.Parallel()
	all := replicas(0, 8)
	whole, fewer := balance.NewSet(all, 0), balance.NewSet(append(all[:3:3], all[4:]...), 0)
	var firsts [8]int
	const keys = 8000
	for i := range keys {
		c := balance.Choice{Key: key(i), Draw: rand.Uint64(), Except: -1}
		first := whole.Pick(c)
		firsts[first]++
		if c.Draw++; whole.Pick(c) != first {
			t.Fatalf("key %d went to two replicas", i)
		}
		without := fewer.Pick(c)
		if without >= 3 {
			without++
		}
		if first != 3 && without != first {
			t.Fatalf("key %d moved from %d to %d when replica 3 left", i, first, without)
		}
	}
	for i, n := range firsts {
		if n < keys/8*85/100 || n > keys/8*115/100 {
			t.Errorf("replica %d is first for %d of %d keys", i, n, keys)
		}
	}
}

func TestPick_noReplicaHasMuchMoreThanItsShare(t *testing.T) {
	t.Parallel()
	all := replicas(0, 8)
	set := balance.NewSet(all, 0)
	var took [8]int64
	for n := range int64(400) { // all with one key: the worst there is
		i := set.Pick(balance.Choice{Key: key(1), Draw: rand.Uint64(), Except: -1})
		all[i].Begin(false)
		took[i]++
		if limit := max(8, int64(1.5*float64(n+1)/8)+1); took[i] > limit {
			t.Fatalf("after %d requests replica %d has %d, more than %d", n+1, i, took[i], limit)
		}
	}
}

func TestPick_withoutAKeyTheLessLoadedOfTwo(t *testing.T) {
	t.Parallel()
	all := replicas(0, 10)
	set := balance.NewSet(all, 0)
	random := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		all[set.Pick(balance.Choice{Draw: random.Uint64(), Except: -1})].Begin(false)
	}
	for i, r := range all {
		if n := r.InFlight(); n < 990 || n > 1010 {
			t.Errorf("replica %d has %d of 10000", i, n)
		}
	}
}

func TestPick_weighsSpeed(t *testing.T) {
	t.Parallel()
	all := replicas(0, 4)
	all[0].Finished(time.Second, 1000)
	for _, r := range all[1:] {
		r.Finished(4*time.Second, 1000)
	}
	set := balance.NewSet(all, time.Second)
	var firsts [4]int
	for i := range 7000 {
		firsts[set.Pick(balance.Choice{Key: key(i), Except: -1})]++
	}
	if firsts[0] < 3500 || firsts[0] > 4500 { // 4 of 7 shares
		t.Errorf("keys by replica, the first being four times as fast: %v", firsts)
	}
	// A difference within the noise changes nothing, so nothing moves.
	before := firsts
	all[1].Finished(400*time.Millisecond, 100)
	set = balance.NewSet(all, 2*time.Second)
	firsts = [4]int{}
	for i := range 7000 {
		firsts[set.Pick(balance.Choice{Key: key(i), Except: -1})]++
	}
	if firsts != before {
		t.Errorf("keys by replica moved from %v to %v", before, firsts)
	}
}

func TestPick_countsWhatEnginesReport(t *testing.T) {
	t.Parallel()
	at := time.Now()
	for name, g := range map[string]balance.Gauges{
		"others' requests":   {At: at, Running: 20},
		"requests that wait": {At: at, Running: 6, Waiting: 6},
		"a full cache":       {At: at, Running: 9, Cache: 1},
	} {
		all := replicas(0, 2)
		for range 9 {
			all[0].Begin(false)
			all[1].Begin(false)
		}
		all[0].Report(g, time.Second)
		all[1].Report(balance.Gauges{At: at, Running: 9}, time.Second) // those that we know of
		set := balance.NewSet(all, time.Second)
		for draw := range uint64(10) {
			if set.Pick(balance.Choice{Draw: draw << 32, Except: -1}) != 1 {
				t.Errorf("%s: the busier one was picked", name)
			}
		}
	}
}

func TestPick_allocatesNothing(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	all := replicas(0, 8)
	set := balance.NewSet(all, 0)
	all[2].Fail(balance.Connection, 0)
	prompt := []byte(strings.Repeat("prompt ", 1000))
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		c := balance.Choice{Draw: uint64(i) * 0x9e3779b97f4a7c15, Except: -1}
		if i%2 == 0 {
			c.Key = balance.PromptKey(prompt)
		}
		r := all[set.Pick(c)]
		r.Begin(true)
		r.Moved(time.Duration(i))
		r.Finished(time.Second, 10)
		r.End(true)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPick_concurrently(t *testing.T) {
	t.Parallel()
	all := replicas(0, 4)
	set := balance.NewSet(all, 0)
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range 2000 {
				now := time.Duration(i) * 10 * time.Millisecond
				n := set.Pick(balance.Choice{Key: key(i) * uint64(g%2), Draw: rand.Uint64(), Now: now, Except: g%3 - 1})
				if n < 0 || n == g%3-1 {
					t.Errorf("picked %d", n)
					return
				}
				all[n].Begin(g == 0)
				if i%7 == 0 {
					all[n].Fail(balance.Connection, now)
				} else {
					all[n].Answered(now)
				}
				all[n].Report(balance.Gauges{At: time.Unix(int64(i), 0), Running: 1}, now)
				all[n].Watch(now)
				_ = balance.NewSet(all, now)
				all[n].End(g == 0)
			}
		})
	}
	wait.Wait()
	for i, r := range all {
		if r.InFlight() != 0 {
			t.Errorf("replica %d has %d requests", i, r.InFlight())
		}
	}
}

func TestPromptKey_isOfTheBeginning(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1023)
	if balance.PromptKey([]byte(long)) != 0 {
		t.Error("a short prompt has a key")
	}
	a, b, c := balance.PromptKey([]byte(long+"ab")), balance.PromptKey([]byte(long+"ac")), balance.PromptKey([]byte(long+"ba"))
	if a == 0 || a != b || a == c {
		t.Errorf("keys %x %x %x", a, b, c)
	}
	if balance.Key(nil) == 0 || balance.Key([]byte("a")) == balance.Key([]byte("a\x00")) {
		t.Error("keys of short texts are not told apart")
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{1, 2, 8, 32} {
		for name, k := range map[string]uint64{"key": key(1), "none": 0} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				set := balance.NewSet(replicas(0, n), 0)
				for b.Loop() {
					set.Pick(balance.Choice{Key: k, Draw: 0x123456789abcdef, Except: -1})
				}
			})
		}
	}
}
