package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// DefaultIdle is for how many minutes a deployment that may have no replica keeps
// one that nobody uses.
const DefaultIdle = 15

const (
	mostIdle  = 30 * 24 * 60     // minutes
	usedEvery = 20 * time.Second // between two notes of a use
	usedLag   = time.Minute      // gateways tell of a use every half minute, and may fail to once
)

// Sleeping is a model that is deployed and has no instance to answer now.
type Sleeping struct {
	Organisation uuid.UUID
	Model        string
	State        string        // one of the following
	Message      string        // for people: what is going on; only while it is waking
	Left         time.Duration // until it usually serves; 0: nothing is known of it
}

// What can be the case with a model that no instance answers for.
const (
	SleepStopped  = "stopped"  // on purpose: only its owner starts it
	SleepCordoned = "cordoned" // its replica is kept from requests by a person
	SleepStarting = "starting" // its first replica, or a replacement, is on its way
	SleepAsleep   = "asleep"   // the next request wakes it
	SleepWaking   = "waking"   // a request has woken it
)

func checkIdle(minutes *int) error {
	if minutes == nil || *minutes >= 0 && *minutes <= mostIdle {
		return nil
	}
	return fault.Newf(fault.Invalid, "A deployment cannot go to sleep after %d minutes without a request.", *minutes).
		WithFix("Give 1 to 43200 minutes, or 0 for one that never sleeps by itself.").WithField("idle_minutes")
}

// Wake has one deployment of a model start a replica, if all that are not
// stopped may have none and sleep, and reports whether it has: of all who ask at
// once, one does. Who may use the model may wake it, which the caller has seen to.
func (s *Service) Wake(ctx context.Context, actor auth.Actor, model string) (woken bool, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		d, err := instancedb.New(tx).Rouse(ctx, instancedb.RouseParams{OrganisationID: actor.Organisation, Model: model})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		woken = true
		if err := auth.Audit(ctx, tx, actor, "deployment.wake", d.Name, map[string]any{"model": model}); err != nil {
			return err
		}
		return tellDeployment(ctx, tx, actor.Organisation, d.ID)
	})
	if err != nil {
		return false, fmt.Errorf("wake the model %s: %w", model, err)
	}
	if woken {
		s.scale.Wake()
	}
	return woken, nil
}

// Used notes that instances have had requests lately.
func (s *Service) Used(ctx context.Context, instances []uuid.UUID) error {
	if err := s.q().Used(ctx, instancedb.UsedParams{Ids: instances, Every: usedEvery.Seconds()}); err != nil {
		return fmt.Errorf("note the use of instances: %w", err)
	}
	return nil
}

// sleepiness is what decides whether a deployment that may have no replica has
// none.
type sleepiness struct {
	idle  time.Duration // 0: it never goes to sleep by itself
	used  time.Time     // by a request, the last time
	woken bool          // somebody wants it awake
}

// tired reports whether nobody has used what there is of a deployment for long
// enough. What is on its way is not judged, so that who was told to come back
// finds it; nor is a moment before the last replica was ready.
func (s sleepiness) tired(replicas []replica, now time.Time) bool {
	if s.idle == 0 || !s.woken && len(replicas) == 0 {
		return false
	}
	last := s.used
	for _, r := range replicas {
		if r.state != Ready {
			return false
		}
		if r.since.After(last) {
			last = r.since
		}
	}
	return now.Sub(last) >= s.idle+usedLag
}

// awake says why a deployment that may have no replica has one, and for how long.
func (s sleepiness) awake() string {
	if s.idle == 0 {
		return "It may have no replica, and does not go to sleep by itself."
	}
	return fmt.Sprintf("Awake until nobody has used it for %s.", minutes(s.idle))
}

func minutes(d time.Duration) string {
	if d == time.Minute {
		return "a minute"
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

// sleeping says of each model that no instance answers for what is the case:
// the best of its deployments.
func (s *Service) sleeping(ctx context.Context, q *instancedb.Queries, awake map[served]bool) ([]Sleeping, error) {
	wishes, err := q.Wishes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read deployed models: %w", err)
	}
	var all []Sleeping
	for _, w := range wishes { // a model's are beside each other
		key := served{w.OrganisationID, w.Model}
		if awake[key] {
			continue
		}
		last := len(all) - 1
		if last < 0 || (served{all[last].Organisation, all[last].Model}) != key {
			all, last = append(all, Sleeping{Organisation: w.OrganisationID, Model: w.Model, State: SleepStopped}), last+1
		}
		it := &all[last]
		if state := stateOf(w); rank[state] > rank[it.State] {
			it.State = state
			if it.Message, it.Left = "", 0; state == SleepWaking {
				if err := s.describe(ctx, q, w, it); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// served is a model of an organisation.
type served struct {
	organisation uuid.UUID
	model        string
}

// rank orders the states by what they promise. What is kept awake at all times
// goes before what sleeps: it will be there without anybody's asking.
var rank = map[string]int{SleepStopped: 0, SleepAsleep: 1, SleepCordoned: 2, SleepStarting: 3, SleepWaking: 4}

func stateOf(w instancedb.WishesRow) string {
	switch {
	case w.Stopped:
		return SleepStopped
	case w.Cordoned && State(w.State) == Ready:
		return SleepCordoned
	case w.MinReplicas > 0:
		return SleepStarting
	case w.Woken || w.InstanceID != uuid.Nil:
		return SleepWaking
	}
	return SleepAsleep
}

// describe says how far a model is that is waking.
func (s *Service) describe(ctx context.Context, q *instancedb.Queries, w instancedb.WishesRow, it *Sleeping) error {
	if w.InstanceID == uuid.Nil {
		it.Message = w.Message
		if r := Reason(w.Reason); it.Message == "" || r == ReasonAsleep || r == ReasonAwake {
			it.Message = ReasonReplicasStarting.Sentence()
		}
		return nil
	}
	i := Instance{
		ID: w.InstanceID, Model: w.Model, Offer: OfferRef{Type: w.Type}, State: State(w.State), Step: Step(w.Step), Generation: int(w.Generation),
	}
	if i.State == Ready { // nobody knows for how long
		it.Message = "The instance " + w.Instance + " is ready, but it or its engine is not heard from."
		return nil
	}
	it.Message = "The instance " + w.Instance + " is " + w.State + ": " + w.InstanceMessage
	past, err := usual(ctx, q, w.OrganisationID, i)
	if err != nil {
		return fmt.Errorf("read how long steps take: %w", err)
	}
	taken, err := q.Steps(ctx, i.ID)
	if err != nil {
		return fmt.Errorf("read the steps: %w", err)
	}
	var spent time.Duration
	for _, t := range taken {
		if t.Generation == w.Generation && t.Step == w.Step && t.EndedAt == nil {
			spent = w.Now.Sub(t.StartedAt)
		}
	}
	it.Left = Remaining(past, Steps()[i.Step.at():], spent)
	return nil
}

// Late reports whether a step that spent has passed of takes so much longer than
// usual that the past says nothing about its end.
func (u Usual) Late(spent time.Duration) bool { return spent > u.Median+max(u.Median/2, 5*time.Second) }

// Remaining returns how long the steps ahead usually take together, spent of the
// first one having passed. It returns 0, nothing is known, when one of them was
// never taken before or the first one is late.
func Remaining(usual map[Step]Usual, ahead []Step, spent time.Duration) time.Duration {
	var left time.Duration
	for _, step := range ahead {
		u, known := usual[step]
		if !known || u.Late(spent) {
			return 0
		}
		left += max(0, u.Median-spent)
		spent = 0
	}
	return left
}
