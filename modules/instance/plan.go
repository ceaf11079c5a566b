package instance

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// replica is what a plan has to know of an instance.
type replica struct {
	id        uuid.UUID
	state     State
	desired   Desired
	cordoned  bool
	reason    Reason
	message   string
	createdAt time.Time
	since     time.Time // of the state
}

// wish is what a plan has to know of a deployment.
type wish struct {
	low, high   int
	stopped     bool
	sleepiness            // of one whose low is 0
	failures    int       // replicas that failed since the last one got ready
	lastFailure time.Time // zero without one
	backoff     time.Duration
	now         time.Time
}

// plan is what has to be done so that a deployment gets what it wishes, and
// what is to be said meanwhile.
type plan struct {
	launch  int
	end     map[uuid.UUID]ending
	reason  Reason
	message string
	sleeps  bool          // nobody wants it awake any more
	after   time.Duration // until the next look, if nothing changes before
}

type ending struct {
	desired Desired
	reason  Reason
}

const (
	planEvery  = 15 * time.Second
	maxBackoff = 30 * time.Minute
)

// planFor decides without looking at anything else.
func planFor(w wish, replicas []replica) plan {
	p := plan{end: map[uuid.UUID]ending{}, after: planEvery}
	var kept, leaving []replica
	serving, ending := 0, 0
	for _, r := range replicas {
		switch {
		case r.state.Rising() && r.desired == WantReady:
			kept = append(kept, r)
			if r.state == Ready && !r.cordoned {
				serving++
			}
		case r.state.Rising() && r.desired == WantReplaced:
			leaving = append(leaving, r)
		case !r.state.Failure():
			ending++
		}
	}
	if w.stopped {
		for _, r := range append(kept, leaving...) {
			p.finish(r, ReasonDeploymentStopped)
		}
		p.reason = ReasonDeploymentStopped
		if len(kept)+len(leaving)+ending > 0 {
			p.reason = ReasonDeploymentStopping
		}
		p.message = p.reason.Sentence()
		return p
	}
	sleeps := w.low == 0
	if sleeps {
		switch there := append(slices.Clone(kept), leaving...); {
		case w.tired(there, w.now):
			for _, r := range there {
				p.finish(r, ReasonIdle)
			}
			p.sleeps = true
			p.fallAsleep()
			return p
		case w.woken:
			w.low = 1
		case len(there) == 0:
			p.fallAsleep()
		}
	}
	for _, r := range leaving {
		if r.state != Ready || serving >= max(w.low, min(1, len(kept))) {
			p.finish(r, ReasonUserReplaced)
		}
	}
	if surplus := len(kept) - w.high; surplus > 0 {
		slices.SortFunc(kept, dispensable)
		for _, r := range kept[:surplus] {
			p.finish(r, ReasonScaledDown)
		}
		kept = kept[surplus:]
	}
	if missing := w.low - len(kept); missing > 0 {
		p.launchUnlessFailing(w, missing)
	}
	switch {
	case p.reason != "":
	case serving < w.low:
		p.reason, p.message = waitingFor(kept)
	case sleeps && serving > 0:
		p.reason, p.message = ReasonAwake, w.awake()
	}
	return p
}

func (p *plan) fallAsleep() { p.reason, p.message = ReasonAsleep, ReasonAsleep.Sentence() }

// finish ends a replica: one that serves finishes its requests first.
func (p *plan) finish(r replica, why Reason) {
	if r.state == Ready {
		p.end[r.id] = ending{WantDrained, why}
		return
	}
	p.end[r.id] = ending{WantTerminated, why}
}

// dispensable orders replicas: first those that are furthest from serving.
func dispensable(a, b replica) int {
	serves := func(r replica) int {
		switch {
		case r.state == Ready && !r.cordoned:
			return len(ladder)
		case r.state == Ready:
			return len(ladder) - 1
		}
		return slices.Index(States(), r.state)
	}
	return cmp.Or(cmp.Compare(serves(a), serves(b)), b.createdAt.Compare(a.createdAt))
}

// launchUnlessFailing launches what is missing, after a pause that doubles with
// each replica that failed in a row.
func (p *plan) launchUnlessFailing(w wish, missing int) {
	if w.failures > 0 {
		pause := min(w.backoff<<min(w.failures-1, 10), maxBackoff)
		if left := w.lastFailure.Add(pause).Sub(w.now); left > 0 {
			p.reason = ReasonReplicasFailing
			p.message = fmt.Sprintf("The last %d replicas failed in a row. The next one is tried at %s UTC; starting the deployment tries at once.",
				w.failures, w.now.Add(left).UTC().Format("15:04:05"))
			if w.failures == 1 {
				p.message = fmt.Sprintf("The last replica failed. The next one is tried at %s UTC; starting the deployment tries at once.",
					w.now.Add(left).UTC().Format("15:04:05"))
			}
			p.after = min(p.after, left)
			return
		}
	}
	p.launch = missing
}

// waitingFor says what the replicas on their way wait for: trouble first.
func waitingFor(kept []replica) (Reason, string) {
	for _, r := range kept {
		switch r.reason {
		case ReasonOutOfStock, ReasonQuota, ReasonProviderDenied, ReasonProviderThrottled, ReasonProviderAway,
			ReasonProviderUnknown, ReasonInternal:
			return r.reason, r.message
		}
	}
	return ReasonReplicasStarting, ReasonReplicasStarting.Sentence()
}
