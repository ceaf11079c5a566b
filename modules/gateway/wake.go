package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// The states of a sleeping model that the gateway acts upon; of others it only
// says the word.
const (
	Asleep = "asleep" // a request wakes it
	Waking = "waking" // one has
)

const (
	everyBeat     = 10 * time.Second // of a stream that waits and is begun
	unknownWaking = 30 * time.Second // to come back after, when nobody knows better
)

// errGone is why a stream that waits ends when its client does not take what it
// is sent.
var errGone = errors.New("the client is gone")

// comment keeps a stream that waits alive on its way through proxies: a line
// that readers of server-sent events leave out. There is no empty line after it,
// which some would take for an event without data.
const comment = ": waiting for a replica to start\n"

// wakes reports whether the route has no replica and will have one because
// somebody asks for it.
func (r *route) wakes() bool {
	return len(r.targets) == 0 && (r.sleeping.State == Asleep || r.sleeping.State == Waking)
}

// rouse asks for a route to be woken. The table's loop does it, once for
// however many ask.
func (x *exchange) rouse(way *route) {
	if way.sleeping.State == Asleep && way.queue.asked.Load() == nil && way.queue.asked.CompareAndSwap(nil, &wish{x.caller, time.Now()}) {
		x.service.routeLoop.Wake()
	}
}

// wish is a request's for a model to be woken.
type wish struct {
	by Caller
	at time.Time
}

// wishAge is how long a wish stands that nobody waits for.
const wishAge = time.Minute

// wakeAsked has those models start a replica that somebody has asked for. What
// fails is asked for again by the next pass, while somebody waits.
func (s *Service) wakeAsked(ctx context.Context, t *table) error {
	var errs []error
	for key, r := range t.routes {
		wish := r.queue.asked.Load()
		if wish == nil {
			continue
		}
		if by := wish.by; r.sleeping.State == Asleep && r.wakes() && (r.queue.Waiting() > 0 || time.Since(wish.at) < wishAge) {
			woken, err := s.instances.Wake(ctx, auth.Actor{Organisation: key.organisation, KeyID: by.KeyID, UserID: by.UserID}, r.model)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if woken {
				s.metrics.wakes.Inc()
				s.log.InfoContext(ctx, "model woken", "organisation", key.organisation, "model", r.model)
			}
			s.routeLoop.Wake() // to see it
		}
		r.queue.asked.Store(nil)
	}
	return errors.Join(errs...)
}

// awaitWaking waits until a route has a replica and returns it as it is then. A
// stream is begun meanwhile, and kept alive. Those who wait hold at most half of
// the memory for bodies: the rest is for models that are awake.
func (x *exchange) awaitWaking(way *route) (*route, *openai.Error) {
	s := x.service
	if s.parked.Add(x.held) > s.limits.held/2 {
		s.parked.Add(-x.held)
		return nil, waking(way, limit.ErrFull)
	}
	defer s.parked.Add(-x.held)
	from := time.Now()
	late := from.Add(s.limits.wakeWait)
	for way.wakes() {
		if s.stopping.Load() {
			return nil, stopping()
		}
		x.rouse(way)
		var beat limit.Beat
		if x.head.Stream {
			beat = limit.Beat{First: time.Until(from.Add(s.limits.firstBeat)), Every: everyBeat, Do: x.beat}
		}
		err := way.queue.EnterAlive(x.r.Context(), x.turn(), time.Until(late), beat)
		if errors.Is(err, errGone) || x.r.Context().Err() != nil {
			if err == nil {
				way.queue.Leave()
			}
			return nil, left()
		}
		t := s.table.Load()
		if now := t.routes[routeKey{x.caller.Organisation, way.model}]; err != nil {
			if now != nil {
				way = now // it may know more by now
			}
			return nil, waking(way, err)
		}
		x.place = way.queue
		wanted := t.routes[routeKey{x.caller.Organisation, x.wanted.model}]
		way = t.routes[routeKey{x.caller.Organisation, way.model}]
		if way == nil || wanted == nil {
			return nil, noModel(s.shownTo(x.caller, t), x.wanted.model)
		}
		x.wanted = wanted
		if way.wakes() { // its replica was gone before it could be asked
			x.depart()
		}
	}
	x.asked = time.Now()
	return way, x.revoked("the request waited for the model to wake")
}

// beat begins the answer, if it is not begun, and shows that there is somebody.
func (x *exchange) beat() error {
	x.headStream()
	x.headed = true
	_ = x.control.SetWriteDeadline(time.Now().Add(x.service.limits.write)) // a test's recorder has none
	alive := surfaces[x.r.URL.Path].alive
	if alive == "" {
		alive = comment
	}
	if _, err := x.w.Write([]byte(alive)); err != nil {
		return errGone
	}
	if x.control.Flush() != nil {
		return errGone
	}
	return nil
}

// refuse answers with an error; where the head of a stream is out it can only be
// an event.
func (x *exchange) refuse(e *openai.Error) {
	x.ownFields(e)
	if !x.headed {
		Refuse(x.w, x.r, e, x.name)
		return
	}
	_ = x.control.SetWriteDeadline(time.Now().Add(x.service.limits.write))
	_, _ = x.w.Write(x.ending(e)) // a client that has left needs no answer
	_ = x.control.Flush()
}

// Stop has the requests that wait for a replica to start answered, so that their
// clients ask another process: this one is about to end.
func (s *Service) Stop() {
	s.stopping.Store(true)
	t := s.table.Load()
	s.setQueues(t, t)
}

// left is for a client that has left, or at least has closed its side of the
// connection: then it reads this.
func left() *openai.Error {
	return &openai.Error{
		Status: statusClientGone, Type: openai.InvalidRequest, Code: codeClientGone, Retry: true,
		Message: "The connection was closed on your side before the answer was there, so the request was given up. Keep it open until then.",
	}
}

// statusClientGone is nginx's: HTTP has none.
const statusClientGone = 499

func stopping() *openai.Error {
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Type: openai.ServerError, Code: "stopping", Retry: true, RetryAfter: time.Second,
		Message: "This process of the gateway is about to stop, and the model is not awake yet. Try again: another process takes over.",
	}
}

// readyIn returns how long it usually takes until a route without a replica has
// one, in seconds as Retry-After has them; unknown if nobody knows.
func (r *route) readyIn(unknown time.Duration) time.Duration {
	if r.sleeping.Left > 0 {
		return (r.sleeping.Left + time.Second - 1).Truncate(time.Second)
	}
	return unknown
}

// waking says that a model starts, how far it is and when to come back.
func waking(way *route, why error) *openai.Error {
	after, long := way.readyIn(unknownWaking), fmt.Sprintf("How long that takes is not known yet; try again in %s.", unknownWaking)
	if way.sleeping.Left > 0 {
		long = fmt.Sprintf("It usually takes about %s more; try again then.", after)
	}
	state := way.sleeping.Message
	if way.sleeping.State == Asleep {
		state = "It has been asked for and has not begun to start yet."
	}
	e := &openai.Error{
		Status: http.StatusServiceUnavailable, Type: openai.ServerError, Code: "waking", Param: "model", Retry: true, RetryAfter: after,
		Message: fmt.Sprintf("The model %q was asleep and is being woken; no replica of it is ready yet. %s %s", way.model, state, long),
	}
	if errors.Is(why, limit.ErrFull) {
		e.Status, e.Type, e.Code = http.StatusTooManyRequests, openai.RateLimit, "model_overloaded"
		e.Message = fmt.Sprintf("The model %q is being woken, and as many requests wait for it as may. %s %s", way.model, state, long)
	}
	return e
}
