package limit_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

func TestQueue_closedLetsNobodyInAndOpensForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q limit.Queue
		q.Set(limit.Closed, 2)
		in := make(chan error, 3)
		for range 2 {
			go func() { in <- q.Enter(t.Context(), uuid.New(), time.Hour) }()
		}
		synctest.Wait()
		if q.Waiting() != 2 || q.Busy() != 0 {
			t.Fatalf("%d wait and %d are in", q.Waiting(), q.Busy())
		}
		if err := q.Enter(t.Context(), uuid.New(), time.Hour); !errors.Is(err, limit.ErrFull) {
			t.Errorf("a third one: %v", err)
		}
		q.Set(1, 1)
		synctest.Wait()
		if err := <-in; err != nil || q.Busy() != 1 || q.Waiting() != 1 {
			t.Errorf("with room for one: %v, %d in, %d wait", err, q.Busy(), q.Waiting())
		}
		q.Leave()
		if err := <-in; err != nil {
			t.Error(err)
		}
	})
}

func TestQueue_beatsWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q limit.Queue
		q.Set(limit.Closed, 2)
		from := time.Now()
		var beats []time.Duration
		beat := limit.Beat{First: 5 * time.Second, Every: 10 * time.Second, Do: func() error {
			beats = append(beats, time.Since(from))
			return nil
		}}
		if err := q.EnterAlive(t.Context(), uuid.New(), time.Second, beat); !errors.Is(err, limit.ErrLate) || len(beats) != 0 {
			t.Errorf("a short wait: %v, beats at %v", err, beats)
		}
		from = time.Now()
		if err := q.EnterAlive(t.Context(), uuid.New(), 30*time.Second, beat); !errors.Is(err, limit.ErrLate) {
			t.Error(err)
		}
		if want := []time.Duration{5 * time.Second, 15 * time.Second, 25 * time.Second}; !slices.Equal(beats, want) {
			t.Errorf("beats at %v, want %v", beats, want)
		}
		gone := errors.New("gone")
		beat.Do = func() error { return gone }
		if err := q.EnterAlive(t.Context(), uuid.New(), time.Hour, beat); !errors.Is(err, gone) || q.Waiting() != 0 {
			t.Errorf("a beat that fails: %v, %d wait", err, q.Waiting())
		}
	})
}
