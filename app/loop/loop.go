// Package loop runs one idempotent pass again and again: at once, then every
// period, and sooner when somebody says that there may be work.
//
// A pass takes no input. What has changed is found by looking, so the common
// path and the recovery path are the same, a lost wake-up costs at most one
// period, and an error needs no retry of its own: the next pass is the retry.
package loop

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Pass does what is due and returns how many things it moved.
type Pass func(ctx context.Context) (int, error)

// Status is what an operator sees of a loop.
type Status struct {
	Name     string
	Period   time.Duration
	Passes   int64
	Failures int64     // passes that ended in an error
	Moved    int64     // things moved since the start
	LastAt   time.Time // start of the last finished pass; zero before the first
	LastTook time.Duration
	LastErr  string // of the last pass; empty when it went well
	Running  bool
}

// Loop is one pass on a period. Make it with New.
type Loop struct {
	name   string
	period time.Duration
	log    *slog.Logger
	pass   Pass
	wake   chan struct{}

	mu     sync.Mutex
	status Status
}

// New returns a loop that has not started.
func New(name string, period time.Duration, log *slog.Logger, pass Pass) *Loop {
	return &Loop{
		name: name, period: period, log: log, pass: pass,
		wake:   make(chan struct{}, 1),
		status: Status{Name: name, Period: period},
	}
}

// Wake asks for a pass soon. It never blocks; wake-ups during a pass coalesce
// into one more pass.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Status returns a snapshot.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Run makes a first pass at once and returns only when ctx ends, after the pass
// in progress. An error or a panic ends the pass, not the loop.
func (l *Loop) Run(ctx context.Context) {
	tick := time.NewTicker(l.period)
	defer tick.Stop()
	for ctx.Err() == nil {
		l.once(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-l.wake:
		}
	}
}

func (l *Loop) once(ctx context.Context) {
	start := time.Now()
	l.mu.Lock()
	l.status.Running = true
	l.mu.Unlock()

	n, err := l.safely(ctx)
	if err != nil && ctx.Err() != nil {
		err = nil // cut short by the shutdown, not a failure
	}

	l.mu.Lock()
	s := &l.status
	s.Running, s.LastAt, s.LastTook = false, start, time.Since(start)
	s.Passes++
	s.Moved += int64(n)
	repeated := err != nil && err.Error() == s.LastErr
	s.LastErr = ""
	if err != nil {
		s.Failures++
		s.LastErr = err.Error()
	}
	l.mu.Unlock()

	if err != nil && !repeated {
		l.log.ErrorContext(ctx, "loop pass failed", "loop", l.name, "err", err)
	}
}

func (l *Loop) safely(ctx context.Context) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in loop %s: %v\n%s", l.name, p, debug.Stack())
		}
	}()
	return l.pass(ctx)
}
