package instance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// errLeaseLost means that another process holds the instance now: whatever was
// found out is its to find out again.
var errLeaseLost = errors.New("lease lost")

const (
	reconcilePeriod = time.Second

	slots      = 8                      // steps at once in one process
	passTime   = 5 * time.Second        // after it a pass takes nothing new
	lookAgain  = 200 * time.Millisecond // for due instances, while a pass waits for slow steps
	asideFor   = 5 * time.Second        // leave an instance without a tunnel here to other processes
	settleTime = 5 * time.Second        // to write what a step found out
)

// claim is an instance that this process may move, until its lease ends.
type claim struct {
	Instance

	offers         []OfferRef
	startTime      time.Duration // what the engine may take, when its owner says so
	reinstall      bool
	desiredReason  Reason
	desiredMessage string
	epoch          int64
	now            time.Time // by the database's clock
}

// outcome is what one step found out. The zero outcome means: nothing new, and
// look again at once.
type outcome struct {
	done    bool          // the step in progress is complete
	to      State         // the state to change to; empty: as the steps say
	reason  Reason        // why it waits, fails or changes
	message string        // for people; empty: the reason's sentence
	after   time.Duration // until the next look
	failed  bool          // one more failed attempt of this step
	idle    bool          // there is nothing to wait for: no deadline
	renew   bool          // another deadline for the same state

	reinstalled bool // begins another generation on the same server
	adopted     bool // a server with a past: begins another generation
	restart     bool // gives the server up and begins with another offer
	offer       *Offer
	server      *Server
	gone        []goneResource
	found       []ProviderResource
	ops         []settledOperation
}

type goneResource struct {
	id uuid.UUID
	at time.Time // zero: not told
}

type settledOperation struct {
	id     uuid.UUID
	status OperationStatus
	target string
	err    string
}

// wait is an outcome that waits for something.
func wait(why Reason, after time.Duration, message string) outcome {
	return outcome{reason: why, after: after, message: message}
}

// fail is an outcome that gives the instance up.
func (c *claim) fail(why Reason, message string) outcome {
	return outcome{to: c.State.failure(), reason: why, message: message}
}

// Reconcile takes the instances that are due and moves each one step towards
// what its owner wants, again and again until none is due. Replicas share the
// table: a lease keeps two of them off the same row, an epoch keeps a late one
// from writing.
func (s *Service) Reconcile(ctx context.Context) (int, error) {
	var (
		moved, running int
		errs           []error
		finished       = make(chan error, slots)
		tick           = time.NewTicker(lookAgain)
		end            = time.Now().Add(passTime)
	)
	defer tick.Stop()
	for {
		if running < slots && ctx.Err() == nil && len(errs) == 0 && time.Now().Before(end) {
			claims, err := s.claim(ctx, slots-running)
			if err != nil {
				errs = append(errs, err)
			}
			for _, c := range claims {
				running++
				go func() { finished <- s.turn(ctx, c) }()
			}
		}
		if running == 0 {
			return moved, errors.Join(errs...)
		}
		select {
		case err := <-finished:
			running--
			moved++
			if err != nil && !errors.Is(err, errLeaseLost) {
				errs = append(errs, err)
			}
		case <-tick.C:
		}
	}
}

// claim leases up to n instances that are due.
func (s *Service) claim(ctx context.Context, n int) ([]*claim, error) {
	rows, err := s.q().ClaimDue(ctx, instancedb.ClaimDueParams{
		Lease: s.timing.Lease.Seconds(), Batch: int32(n), Skip: s.skipped(),
	})
	if err != nil {
		return nil, fmt.Errorf("claim due instances: %w", err)
	}
	claims := make([]*claim, 0, len(rows))
	for _, r := range rows {
		i := r.InstanceInstance
		c := &claim{
			Instance: toInstance(i, r.Deployment, r.Kind), startTime: time.Duration(r.StartSeconds) * time.Second,
			reinstall: i.Reinstall, desiredReason: Reason(i.DesiredReason), desiredMessage: i.DesiredMessage,
			epoch: i.LeaseEpoch, now: r.Now,
		}
		for _, text := range r.Offers {
			if ref, ok := parseOffer(text); ok {
				c.offers = append(c.offers, ref)
			}
		}
		claims = append(claims, c)
	}
	return claims, nil
}

// turn takes one step with a claimed instance and settles it.
func (s *Service) turn(ctx context.Context, c *claim) (err error) {
	s.failpoint("claimed")
	stepping, cancel := context.WithTimeout(ctx, s.timing.Step)
	out, err := s.step(stepping, c)
	cancel()
	if errors.Is(err, errLeaseLost) {
		return err
	}
	if err != nil {
		out = s.internal(ctx, c, err)
	}
	s.failpoint("stepped")
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if out.after > 0 && out.after < reconcilePeriod { // sooner than the loop comes round by itself
		defer func() { time.AfterFunc(out.after, s.reconcile.Wake) }()
	}
	return s.settle(settling, c, out)
}

// internal is the outcome of an error that is ours: a later pass tries again.
func (s *Service) internal(ctx context.Context, c *claim, err error) outcome {
	if ctx.Err() != nil { // the process ends; another one takes over at once
		return outcome{reason: c.Reason, message: c.Message}
	}
	s.log.ErrorContext(ctx, "step failed", "instance", c.Name, "state", c.State, "step", c.Step, "err", err)
	out := wait(ReasonInternal, backoff(c.Attempts), "")
	out.failed = true
	return out
}

// step looks at the instance and moves it once.
func (s *Service) step(ctx context.Context, c *claim) (outcome, error) {
	if out, asked := c.wanted(); asked {
		return out, nil
	}
	if out, over := c.overdue(); over {
		return out, nil
	}
	p, ok := s.providers[c.Offer.Provider]
	if !ok {
		s.setAside(c.ID) // a process that has the provider takes it
		return wait(ReasonProviderUnknown, time.Second, ""), nil
	}
	switch c.State {
	case Ready:
		return s.look(ctx, p, c)
	case Draining:
		return s.drain(ctx, c)
	case Terminating, ProvisioningFailed, StartupFailed, Failed:
		return s.clean(ctx, c)
	}
	switch c.Step {
	case StepServerCreated:
		return s.create(ctx, p, c)
	case StepVolumeReady:
		return s.prepare(ctx, p, c)
	case StepPoweredOn:
		return s.powerOn(ctx, p, c)
	case StepAddressKnown, StepNetworkSecured:
		return s.boot(ctx, p, c)
	case StepReachable:
		return s.reach(ctx, p, c)
	case StepAgentInstalled:
		return s.install(ctx, p, c)
	case StepEngineHTTP, StepModelLoaded, StepFirstToken, StepVerified:
		return s.probe(ctx, c)
	}
	return outcome{}, fmt.Errorf("no step %q in state %s", c.Step, c.State)
}

// wanted is the outcome of what the owner asked for since.
func (c *claim) wanted() (outcome, bool) {
	end := func(to State) (outcome, bool) {
		return outcome{to: to, reason: c.desiredReason, message: c.desiredMessage}, true
	}
	switch {
	case c.Desired == WantTerminated && c.State.May(Terminating):
		return end(Terminating)
	case c.Desired == WantDrained && c.State == Ready:
		return end(Draining)
	case c.Desired == WantDrained && c.State.Rising():
		return end(Terminating)
	case c.reinstall && (c.State == Booting || c.State.May(Booting) && c.State != Provisioning):
		return outcome{to: Booting, reason: ReasonUserReinstalled, reinstalled: true}, true
	}
	return outcome{}, false
}

// overdue is the outcome of a passed deadline. A state that has to go on
// regardless, such as a deletion, gets another one and keeps saying so; that of
// an engine that is down is judged by who looks at it.
func (c *claim) overdue() (outcome, bool) {
	r := rules[c.State]
	if c.Deadline == nil || c.now.Before(*c.Deadline) || r.deadline == 0 || r.expired == c.State {
		return outcome{}, false
	}
	message := r.reason.Sentence()
	if c.Reason != "" && c.Message != "" {
		message += " It last waited for this: " + c.Message
	}
	return outcome{to: r.expired, reason: r.reason, message: message}, true
}

// backoff grows from a quarter of a second to ten, with jitter.
func backoff(attempts int) time.Duration {
	d := min(250*time.Millisecond<<min(attempts, 10), 10*time.Second)
	return d/2 + rand.N(d/2+1)
}

// setAside leaves the instance to other processes for a while.
func (s *Service) setAside(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aside[id] = time.Now().Add(asideFor)
}

// takeBack ends setAside.
func (s *Service) takeBack(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.aside, id)
}

// skipped returns the instances that are left to others.
func (s *Service) skipped() []uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := []uuid.UUID{}
	for id, until := range s.aside {
		if time.Now().After(until) {
			delete(s.aside, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}
