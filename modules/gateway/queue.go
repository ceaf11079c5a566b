package gateway

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// queue is what is before the replicas of a route, in all its tables.
type queue struct {
	limit.Queue

	asked atomic.Pointer[wish] // that it wakes
}

// keepQueues takes over the queues of the routes before.
func (t *table) keepQueues(old *table) {
	for key, r := range t.routes {
		if before := old.routes[key]; before != nil {
			r.queue = before.queue
		}
	}
}

// setQueues makes room for what the instances of each route take. A server that
// somebody else runs says itself when it has too much; a route that wakes has
// nobody who would take anything. It comes after the table is in place, where
// those who are let in look for their replica.
func (s *Service) setQueues(t, old *table) {
	for _, r := range t.routes {
		room := s.limits.replica * int64(len(r.targets))
		most := room
		for _, to := range r.targets {
			if to.endpoint {
				room = 0
			}
		}
		if r.wakes() && !s.stopping.Load() {
			room, most = limit.Closed, s.limits.replica
		}
		r.queue.Set(room, most)
	}
	for key, r := range old.routes {
		if t.routes[key] == nil {
			r.queue.Set(0, 0) // those who wait learn that it is gone
		}
	}
}

// wait waits until there is room on a route, and returns the route as it is
// then. A route is one organisation's, so none keeps another waiting; in it keys,
// and members without one, take turns.
func (x *exchange) wait(way *route) (*route, *openai.Error) {
	from := time.Now()
	defer func() { x.waited += time.Since(from) }()
	if way.wakes() {
		return x.awaitWaking(way)
	}
	err := way.queue.Enter(x.r.Context(), x.turn(), x.service.limits.wait)
	switch {
	case err == nil:
		x.place = way.queue
		return way, nil
	case x.r.Context().Err() != nil:
		return nil, left()
	}
	return nil, &openai.Error{
		Status: http.StatusTooManyRequests, Type: openai.RateLimit, Code: "model_overloaded", Param: "model", Retry: true, RetryAfter: retrySoon,
		Message: fmt.Sprintf("All replicas of the model %q have as many requests as they take: %s. Try again in a few seconds.", way.model, err),
	}
}

// turn returns whose turn it is that the request waits for.
func (x *exchange) turn() uuid.UUID {
	if x.caller.KeyID != uuid.Nil {
		return x.caller.KeyID
	}
	return x.caller.UserID
}

// depart gives the place back.
func (x *exchange) depart() {
	if x.place != nil {
		x.place.Leave()
		x.place = nil
	}
}

// waiting counts the requests that wait for room.
func (s *Service) waiting() float64 {
	n := int64(0)
	for _, r := range s.table.Load().routes {
		n += r.queue.Waiting()
	}
	return float64(n)
}
