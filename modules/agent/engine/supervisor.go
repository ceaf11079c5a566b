// Package engine keeps the OpenAI-compatible server of a node running: it
// starts what the control plane names, finds out when it answers, starts it
// again when it ends, and stops it when something else is wanted.
//
// An engine listens on 127.0.0.1 only, at a port that the agent chose. exec is
// any command, in a process group of its own that does not outlive the agent.
// sim is the built-in simulator: an HTTP server in the agent's own process,
// since none of its faults needs a process to die with it.
package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/journal"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

const (
	defaultStart = 30 * time.Minute // from start to ready
	lookEvery    = 200 * time.Millisecond
	checkEvery   = 10 * time.Second // once it is ready
	maxSick      = 3                // checks in a row that answer an error

	shortestPause = time.Second
	longestPause  = time.Minute
	steady        = 10 * time.Minute // an engine that ran this long starts again fast
)

// Supervisor runs one engine at a time. Make it with New; it is safe for
// concurrent use.
type Supervisor struct {
	folder  string
	environ []string
	output  *journal.Journal
	tell    func(kind, text string)

	wanted chan struct{} // a change of spec
	moved  chan struct{} // a change of status

	mu      sync.Mutex
	spec    *wire.EngineSpec // nil: none
	status  wire.EngineStatus
	address string // host:port while it is ready
}

// New returns a supervisor without an engine. Processes start in folder with what
// is fit for them of the variables environ, their output goes to output. Each change of state is told to tell, in a word and a
// sentence.
func New(folder string, environ []string, output *journal.Journal, tell func(kind, text string)) *Supervisor {
	return &Supervisor{
		folder: folder, environ: environ, output: output, tell: tell,
		wanted: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		status: wire.EngineStatus{State: wire.EngineStopped, Since: time.Now(), Reason: "No engine has been asked for yet."},
	}
}

// Set names the engine to run. One with the fingerprint of what runs changes
// nothing; another replaces it. A spec that cannot be run is an *wire.Invalid
// and changes nothing either.
func (s *Supervisor) Set(spec wire.EngineSpec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	same := s.spec != nil && s.spec.Fingerprint() == spec.Fingerprint()
	s.spec = &spec
	s.mu.Unlock()
	if !same {
		wake(s.wanted)
	}
	return nil
}

// Status returns how far the engine is.
func (s *Supervisor) Status() wire.EngineStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Address returns host:port of an engine that is ready, else the empty string.
func (s *Supervisor) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Moved receives after the status changed; changes that nobody waited for
// coalesce.
func (s *Supervisor) Moved() <-chan struct{} { return s.moved }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run keeps the engine that Set names running until ctx ends and it is stopped.
func (s *Supervisor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-s.wanted:
		case <-ctx.Done():
			return
		}
		for s.keep(ctx) {
		}
	}
}

// keep runs the spec that is wanted now until another one is, and reports
// whether there is another one.
func (s *Supervisor) keep(ctx context.Context) bool {
	s.mu.Lock()
	spec := *s.spec
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.restart(ctx, spec)
	}()
	again := false
	select {
	case <-s.wanted:
		again = true
	case <-ctx.Done():
	}
	cancel()
	<-done
	s.move(spec, wire.EngineStatus{State: wire.EngineStopped, Reason: "The engine was told to stop."}, "")
	return again
}

// restart runs spec again and again until ctx ends.
func (s *Supervisor) restart(ctx context.Context, spec wire.EngineSpec) {
	pause := &backoff.ExponentialBackOff{
		InitialInterval: shortestPause, MaxInterval: longestPause, Multiplier: 2, RandomizationFactor: 0.2,
	}
	pause.Reset()
	for restarts := 0; ctx.Err() == nil; restarts++ {
		start := time.Now()
		last, err := s.once(ctx, spec, restarts)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > steady {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		s.move(spec, wire.EngineStatus{
			State: wire.EngineFailed, Restarts: restarts, LastError: last,
			Reason: fmt.Sprintf("%s It is started again in %s.", err, wait.Round(100*time.Millisecond)),
		}, "")
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// running is an engine that has been started.
type running interface {
	// address is where it listens.
	address() string
	// ended is closed when it has ended by itself.
	ended() <-chan struct{}
	// why is a sentence about the end, and the last line it complained with.
	why() (reason, line string)
	// stop ends it and returns when it has ended.
	stop()
}

// once starts spec and returns, with the last line it complained with or the
// error that kept it from starting, why it does not run any more.
func (s *Supervisor) once(ctx context.Context, spec wire.EngineSpec, restarts int) (line string, err error) {
	s.move(spec, wire.EngineStatus{State: wire.EngineStarting, Restarts: restarts, Reason: "The engine is being started."}, "")
	var e running
	if spec.Kind == wire.EngineSim {
		e, err = startSim(spec)
	} else {
		e, err = startProcess(spec, s.folder, s.environ, s.output)
	}
	if err != nil {
		return err.Error(), fault.Newf(fault.Unavailable, "The engine could not be started: %v.", err)
	}
	defer e.stop()
	s.move(spec, wire.EngineStatus{State: wire.EngineLoading, Restarts: restarts, Reason: "The engine runs and does not answer yet."}, "")
	if err := untilReady(ctx, e, spec); err != nil {
		_, line = e.why()
		return line, err
	}
	s.move(spec, wire.EngineStatus{
		State: wire.EngineReady, Restarts: restarts, Reason: "The engine answers.", Model: modelOf(ctx, e.address()),
	}, e.address())
	return untilEnded(ctx, e)
}

// untilReady returns nil as soon as the engine answers.
func untilReady(ctx context.Context, e running, spec wire.EngineSpec) error {
	limit := defaultStart
	if spec.StartSeconds > 0 {
		limit = time.Duration(spec.StartSeconds) * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fault.Newf(fault.Timeout, "The engine did not answer within %s.", limit))
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if healthy(ctx, e.address()) == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-e.ended():
			return ended(e)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// untilEnded returns why a ready engine is not running, or not well, any more.
func untilEnded(ctx context.Context, e running) (line string, err error) {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for sick := 0; sick < maxSick; {
		select {
		case <-e.ended():
			_, line = e.why()
			return line, ended(e)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-check.C:
		}
		// Only an answer counts: an engine that is busy may be late with one.
		if err := healthy(ctx, e.address()); errors.Is(err, errSick) {
			sick++
		} else {
			sick = 0
		}
	}
	_, line = e.why()
	return line, fault.New(fault.Unavailable, "The engine reported itself unhealthy three times in a row.")
}

func ended(e running) error {
	reason, _ := e.why()
	return fault.New(fault.Unavailable, reason)
}

// move changes the status and tells of it.
func (s *Supervisor) move(spec wire.EngineSpec, to wire.EngineStatus, address string) {
	to.Since, to.Fingerprint = time.Now(), spec.Fingerprint()
	if to.Model == "" {
		to.Model = spec.Model
	}
	s.mu.Lock()
	s.status, s.address = to, address
	s.mu.Unlock()
	wake(s.moved)
	text := to.Reason
	if to.LastError != "" && !strings.Contains(text, to.LastError) {
		text += " It said: " + to.LastError
	}
	s.tell("engine_"+string(to.State), text)
}
