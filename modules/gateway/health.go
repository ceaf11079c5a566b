package gateway

import (
	"context"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
)

// now is the moment, as package balance counts them.
func (s *Service) now() time.Duration { return time.Since(s.origin) }

// well notes that the target has begun to answer.
func (x *exchange) well() {
	if r := x.to.replica; r.Ejected() && r.Answered(x.service.now()) {
		x.service.back(x.r.Context(), x.to)
	}
}

// ill notes that the target failed the request. One that is only slow with it,
// while others move, has not failed.
func (x *exchange) ill(cause balance.Cause) {
	s, r := x.service, x.to.replica
	now := s.now()
	if cause == balance.Stalled && now-r.LastMoved() < time.Minute {
		return
	}
	if r.Fail(cause, now) {
		s.ejected(x.r.Context(), x.to, cause)
	}
}

func (s *Service) ejected(ctx context.Context, t *target, cause balance.Cause) {
	s.metrics.ejections.WithLabelValues(string(cause)).Inc()
	s.log.WarnContext(ctx, "replica ejected", "id", t.id, "name", t.name, "model", t.model, "cause", cause)
	s.moved(t)
}

func (s *Service) back(ctx context.Context, t *target) {
	s.log.InfoContext(ctx, "replica is back", "id", t.id, "name", t.name, "model", t.model)
	s.moved(t)
}

// moved tells open pages that a replica was set aside or is back.
func (s *Service) moved(t *target) {
	topic := events.Instance
	if t.endpoint {
		topic = events.Endpoint
	}
	s.events.Publish(events.Event{Topic: topic, Key: t.id.String(), Organisation: t.organisation})
}

// checkedEndpoint takes up the last check of an endpoint, once.
func (s *Service) checkedEndpoint(ctx context.Context, t *target, e gatewaydb.AllEndpointsRow) {
	if e.CheckedAt == nil || t.checked != nil && t.checked.Equal(*e.CheckedAt) {
		return
	}
	t.checked = e.CheckedAt
	switch {
	case e.State == "unreachable":
		if t.replica.Fail(balance.Canary, s.now()) {
			s.ejected(ctx, t, balance.Canary)
		}
	case t.replica.State().Cause == balance.Canary || t.replica.State().Cause == balance.Connection && t.replica.Due(s.now()):
		// Of one that could not be reached a check is a trial as good as a request,
		// and with no other replica nobody may send one.
		if t.replica.CanaryPassed(s.now()) {
			s.back(ctx, t)
		}
	}
}

// watch looks for replicas that have work and do not move, and makes the sets
// that requests choose from.
func (s *Service) watch(ctx context.Context, t *table, now time.Duration) {
	for _, to := range t.targets {
		if !to.replica.Watch(now) {
			continue
		}
		if to.replica.Ejected() {
			s.ejected(ctx, to, balance.Stalled)
		} else {
			s.back(ctx, to)
		}
	}
	for _, r := range t.routes {
		replicas := make([]*balance.Replica, len(r.targets))
		for i, to := range r.targets {
			replicas[i] = to.replica
		}
		r.set = balance.NewSet(replicas, now)
	}
}
