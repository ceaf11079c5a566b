package balance_test

import (
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// shares counts which replica requests without a key go to.
func shares(set *balance.Set, now time.Duration) (n [2]int) {
	for i := range 100 {
		n[set.Pick(balance.Choice{Draw: uint64(i) * 0x9e3779b97f4a7c15, Now: now, Except: -1})]++
	}
	return n
}

func TestFail_ejectsAndTriesAgain(t *testing.T) {
	t.Parallel()
	all := replicas(0, 2)
	set := balance.NewSet(all, 0)
	now := time.Second
	// Fifty streams that break at once are one failure.
	for i := range 50 {
		if all[0].Fail(balance.Connection, now) != (i == 0) {
			t.Fatal("a burst is not one ejection")
		}
	}
	if s := all[0].State(); !s.Ejected || s.Cause != balance.Connection || s.Since != now {
		t.Errorf("state = %+v", s)
	}
	for pause := time.Second; pause < 10*time.Minute; pause *= 2 {
		wait := min(pause, 2*time.Minute)
		if n := shares(&set, now+wait-1); n[0] != 0 {
			t.Fatalf("in a pause of %s it is sent %d requests", wait, n[0])
		}
		now += wait
		if n := shares(&set, now); n[0] != 1 {
			t.Fatalf("after a pause of %s it is tried with %d requests, not one", wait, n[0])
		}
		all[0].Fail(balance.Connection, now)
	}
	now += 2 * time.Minute
	if n := shares(&set, now); n[0] != 1 {
		t.Errorf("tried with %d requests", n[0])
	}
	if n := shares(&set, now+29*time.Second); n[0] != 0 {
		t.Errorf("tried with %d more while the trial goes on", n[0])
	}
	if n := shares(&set, now+30*time.Second); n[0] != 1 {
		t.Errorf("a trial without an outcome is followed by %d", n[0])
	}
	if !all[0].Answered(now) || all[0].Answered(now) || all[0].State().Ejected {
		t.Error("it is not back, once")
	}
	if n := shares(&set, now); n[0] < 20 {
		t.Errorf("back, it is sent %d of 100 requests", n[0])
	}
	now += 6 * time.Minute // a quiet time, and pauses are short again
	all[0].Fail(balance.Connection, now)
	if n := shares(&set, now+time.Second); n[0] != 1 {
		t.Errorf("after a quiet time the first pause is not a second")
	}
}

func TestFail_theLastOneStays(t *testing.T) {
	t.Parallel()
	all := replicas(0, 2)
	set := balance.NewSet(all, 0)
	all[0].Fail(balance.Connection, 0)
	all[1].Fail(balance.Stalled, 0)
	if n := shares(&set, time.Millisecond); n[0] == 0 || n[1] == 0 {
		t.Errorf("with both ejected requests go to %v", n)
	}
	if got := set.Pick(balance.Choice{Key: key(1), Except: 0}); got != 1 {
		t.Errorf("the other one is %d", got)
	}
}

func TestPick_aRetryIsNoTrial(t *testing.T) {
	t.Parallel()
	all := replicas(0, 3)
	set := balance.NewSet(all, 0)
	all[0].Fail(balance.Connection, 0)
	for draw := range uint64(50) {
		if got := set.Pick(balance.Choice{Draw: draw << 31, Now: time.Hour, Except: 1}); got != 2 {
			t.Fatalf("the second attempt goes to %d", got)
		}
	}
}

func TestCanary_threeInARow(t *testing.T) {
	t.Parallel()
	r := replicas(0, 1)[0]
	for _, passes := range []bool{false, false, true, false, false} {
		if passes {
			r.CanaryPassed(0)
		} else if r.CanaryFailed(0) {
			t.Fatal("ejected too soon")
		}
	}
	if !r.CanaryFailed(time.Second) || r.State().Cause != balance.Canary {
		t.Error("not ejected by the third in a row")
	}
	if r.CanaryFailed(16*time.Second) || !r.State().Ejected {
		t.Error("the fourth is another ejection")
	}
	if !r.CanaryPassed(31*time.Second) || r.State().Ejected {
		t.Error("a canary that is answered does not bring it back")
	}
}

func TestCanary_standsInForTheTrial(t *testing.T) {
	t.Parallel()
	all := replicas(0, 2)
	set := balance.NewSet(all, 0)
	all[0].Fail(balance.Stalled, 0)
	for now := 15 * time.Second; now < 10*time.Minute; now += 15 * time.Second {
		all[0].CanaryFailed(now)
		if n := shares(&set, now); n[0] != 0 {
			t.Fatalf("after %s a request was the trial, though canaries fail", now)
		}
	}
}

func TestWatch_workWithoutTokens(t *testing.T) {
	t.Parallel()
	start := time.Now()
	report := func(r *balance.Replica, now time.Duration, running int, generated int64) {
		r.Report(balance.Gauges{At: start.Add(now), Running: running, Generated: generated}, now)
	}
	t.Run("by the engine's gauges", func(t *testing.T) {
		t.Parallel()
		r := replicas(0, 1)[0]
		for s := range 130 { // moves until 60, then stands still
			now := time.Duration(s) * time.Second
			if s%10 == 0 {
				report(r, now, 3, int64(min(s, 60)))
			}
			if got, want := r.Watch(now), s == 120; got != want {
				t.Fatalf("changed after %d s: %v", s, got)
			}
		}
		if s := r.State(); !s.Ejected || s.Cause != balance.Stalled {
			t.Errorf("state = %+v", s)
		}
		report(r, 140*time.Second, 3, 61)
		if !r.Watch(140*time.Second) || r.State().Ejected {
			t.Error("a token does not bring it back")
		}
	})
	t.Run("by our own streams", func(t *testing.T) {
		t.Parallel()
		r := replicas(0, 1)[0]
		if r.Watch(time.Hour) {
			t.Error("ejected for being idle")
		}
		r.Begin(false)
		r.Watch(time.Hour)
		if r.Watch(time.Hour + 2*time.Minute) {
			t.Error("ejected for an answer that is no stream and takes its time")
		}
		r.Begin(true)
		now := 2 * time.Hour
		r.Watch(now)
		if r.Watch(now + 59*time.Second) {
			t.Error("ejected after 59 s")
		}
		if !r.Watch(now + 60*time.Second) {
			t.Error("not ejected after 60 s")
		}
		r.Moved(now + 62*time.Second)
		if !r.Watch(now+63*time.Second) || r.State().Ejected {
			t.Error("a piece of a stream does not bring it back")
		}
	})
	t.Run("idle in between", func(t *testing.T) {
		t.Parallel()
		r := replicas(0, 1)[0]
		for s := range 600 {
			now := time.Duration(s) * time.Second
			if s%10 == 0 {
				report(r, now, s/10%2, 5) // work comes and goes between reports
			}
			if r.Watch(now) {
				t.Fatalf("ejected after %d s", s)
			}
		}
	})
}
