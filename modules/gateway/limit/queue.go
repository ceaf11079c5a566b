package limit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// The reasons for which a request is not let out of a queue.
var (
	ErrFull = errors.New("as many requests wait as may")
	ErrLate = errors.New("the request has waited for as long as it may")
)

// Queue lets so many requests be in progress at once; a few more wait. Those
// who wait take turns, however many requests each of them has sent, so that
// one cannot keep the others out.
type Queue struct {
	room, most, busy, waiting atomic.Int64

	mu    sync.Mutex
	turns []*line // of those who wait, the next one first
}

// line is the requests of one of those who wait, the oldest first.
type line struct {
	whose uuid.UUID
	calls []chan struct{}
}

// Closed is the room of a queue that lets nobody in.
const Closed = -1

// Set changes how many requests may be in progress and how many may wait. A
// room of 0 is no limit.
func (q *Queue) Set(room, most int64) {
	q.room.Store(room)
	q.most.Store(most)
	if q.waiting.Load() > 0 {
		q.call()
	}
}

// Beat is what is done while a request waits: Do after First, and then again
// after each Every. Its error ends the wait. Without Do there is nothing.
type Beat struct {
	First, Every time.Duration
	Do           func() error
}

// Enter takes a place, waiting for one up to patience, and fails with ErrFull,
// ErrLate, or ctx's error. After nil, Leave must be called once.
func (q *Queue) Enter(ctx context.Context, whose uuid.UUID, patience time.Duration) error {
	return q.EnterAlive(ctx, whose, patience, Beat{})
}

// EnterAlive is Enter for a request that is heard of while it waits. It may fail
// with the beat's error, too.
func (q *Queue) EnterAlive(ctx context.Context, whose uuid.UUID, patience time.Duration, beat Beat) error {
	if q.waiting.Load() == 0 && q.take() {
		return nil
	}
	called, err := q.line(whose)
	if called == nil {
		return err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	var next *time.Timer
	var due <-chan time.Time // never, without a beat
	if beat.Do != nil {
		next = time.NewTimer(beat.First)
		defer next.Stop()
		due = next.C
	}
	for err == nil {
		select {
		case <-called:
			return nil
		case <-late.C:
			err = ErrLate
		case <-ctx.Done():
			err = ctx.Err()
		case <-due:
			if err = beat.Do(); err == nil {
				next.Reset(beat.Every)
			}
		}
	}
	if q.drop(whose, called) {
		return err
	}
	return nil // it was called at the same moment
}

// Leave gives the place back, to the next one who waits.
func (q *Queue) Leave() {
	q.busy.Add(-1)
	if q.waiting.Load() > 0 {
		q.call()
	}
}

// Waiting returns how many requests wait.
func (q *Queue) Waiting() int64 { return q.waiting.Load() }

// take takes a place if one is free.
func (q *Queue) take() bool {
	for {
		busy, room := q.busy.Load(), q.room.Load()
		if room == Closed || room > 0 && busy >= room {
			return false
		}
		if q.busy.CompareAndSwap(busy, busy+1) {
			return true
		}
	}
}

// line makes a request wait, unless a place is free after all.
func (q *Queue) line(whose uuid.UUID) (chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting.Add(1) > q.most.Load() {
		q.waiting.Add(-1)
		return nil, ErrFull
	}
	// Who leaves from here on sees that somebody waits; who left before has made
	// a place that can be taken now.
	if len(q.turns) == 0 && q.take() {
		q.waiting.Add(-1)
		return nil, nil //nolint:nilnil // a place was free
	}
	called := make(chan struct{})
	i := slices.IndexFunc(q.turns, func(l *line) bool { return l.whose == whose })
	if i < 0 {
		i = len(q.turns)
		q.turns = append(q.turns, &line{whose: whose})
	}
	q.turns[i].calls = append(q.turns[i].calls, called)
	return called, nil
}

// call gives free places to those whose turn it is.
func (q *Queue) call() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.turns) > 0 && q.take() {
		next := q.turns[0]
		close(next.calls[0])
		q.waiting.Add(-1)
		next.calls = next.calls[1:]
		q.turns = q.turns[1:]
		if len(next.calls) > 0 {
			q.turns = append(q.turns, next)
		}
	}
}

// drop takes a request out of the queue, or reports that it is not there: it
// was called.
func (q *Queue) drop(whose uuid.UUID, called chan struct{}) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, l := range q.turns {
		j := slices.Index(l.calls, called)
		if l.whose != whose || j < 0 {
			continue
		}
		if l.calls = slices.Delete(l.calls, j, j+1); len(l.calls) == 0 {
			q.turns = slices.Delete(q.turns, i, i+1)
		}
		q.waiting.Add(-1)
		return true
	}
	return false
}

// Busy returns how many requests are in progress.
func (q *Queue) Busy() int64 { return q.busy.Load() }
