package loop_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
)

var errDown = errors.New("down")

func start(t *testing.T, period time.Duration, pass loop.Pass) (l *loop.Loop, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l = loop.New("probe", period, slog.New(slog.DiscardHandler), pass)
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	return l, func() { cancel(); <-done }
}

func TestRun_passesOnceAPeriodAndOnceAWake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, stop := start(t, time.Minute, func(context.Context) (int, error) { return 1, errDown })
		synctest.Wait()
		time.Sleep(2*time.Minute + time.Second) // virtual: takes no time
		l.Wake()
		synctest.Wait()
		s := l.Status()
		if s.Passes != 4 || s.Moved != 4 || s.Failures != 4 || s.LastErr != "down" {
			t.Errorf("status = %+v, want 4 passes: first, two ticks, one wake", s)
		}
		stop()
	})
}

func TestRun_survivesAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := true
		l, stop := start(t, time.Second, func(context.Context) (int, error) {
			if first {
				first = false
				panic("boom")
			}
			return 0, nil
		})
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if s := l.Status(); s.Passes != 2 || s.Failures != 1 || s.LastErr != "" {
			t.Errorf("status = %+v, want a failed pass and a good one", s)
		}
		stop()
	})
}

func TestWake_neverBlocksAndCoalesces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, stop := start(t, time.Hour, func(context.Context) (int, error) {
			time.Sleep(time.Second)
			return 0, nil
		})
		for range 10 {
			l.Wake()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := l.Status(); s.Passes != 2 {
			t.Errorf("passes = %d, want 2: the first and one for ten wake-ups", s.Passes)
		}
		stop()
	})
}
