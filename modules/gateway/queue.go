package gateway

import (
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// setQueues keeps the queues of the routes before, with room for what its instances take.
// A server that somebody else runs says itself when it has too much.
func (t *table) setQueues(old *table, replica int64) {
	for key, r := range t.routes {
		if before := old.routes[key]; before != nil {
			r.queue = before.queue
		}
		room := replica * int64(len(r.targets))
		for _, to := range r.targets {
			if to.endpoint {
				room = 0
			}
		}
		r.queue.Set(room, room)
	}
}

// wait waits until there is room on a route. A route is one organisation's, so
// none keeps another waiting; in it keys, and members without one, take turns.
func (x *exchange) wait(way *route) *openai.Error {
	who := x.caller.KeyID
	if who == uuid.Nil {
		who = x.caller.UserID
	}
	if err := way.queue.Enter(x.r.Context(), who, x.service.limits.wait); err != nil {
		return &openai.Error{
			Status: http.StatusTooManyRequests, Type: openai.RateLimit, Code: "model_overloaded", Param: "model", Retry: true, RetryAfter: retrySoon,
			Message: fmt.Sprintf("All replicas of the model %q have as many requests as they take: %s. Try again in a few seconds.", way.model, err),
		}
	}
	return nil
}

// waiting counts the requests that wait for room.
func (s *Service) waiting() float64 {
	n := int64(0)
	for _, r := range s.table.Load().routes {
		n += r.queue.Waiting()
	}
	return float64(n)
}
