package gateway

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// Route is an organisation's way to a model, as this process sees it.
type Route struct {
	Model     string
	State     string // Ready, SetAside or Sleeping
	Reason    string // why it is set aside, and where requests go meanwhile
	Fallbacks []string
	Standings []Standing
}

// Standing is how a replica stands with this process.
type Standing struct {
	ID       uuid.UUID
	Name     string
	Endpoint bool
	Ejected  bool
	Cause    balance.Cause // of the ejection
	Since    time.Time     // when it was ejected or came back; zero: it never was
	InFlight int64         // requests of this process
}

// Routes lists the routes of the actor's organisation by model.
func (s *Service) Routes(_ context.Context, actor auth.Actor) ([]Route, error) {
	if err := auth.Need(actor, auth.EndpointsView); err != nil {
		return nil, err
	}
	t := s.table.Load()
	list := make([]Route, 0, len(t.lists[actor.Organisation]))
	for _, r := range t.lists[actor.Organisation] {
		list = append(list, s.seen(r, r.model))
	}
	return list, nil
}

// Standing returns how an instance or endpoint stands; false if no requests
// are sent to it.
func (s *Service) Standing(id uuid.UUID) (Standing, bool) {
	t := s.table.Load().targets[id]
	if t == nil {
		return Standing{}, false
	}
	return s.standing(t), true
}

// seen describes a route, which may be none.
func (s *Service) seen(r *route, model string) Route {
	out := Route{Model: model, State: Sleeps}
	if r == nil {
		return out
	}
	out.Fallbacks = r.fallbacks
	out.State, out.Reason = r.readiness()
	for _, t := range r.targets {
		out.Standings = append(out.Standings, s.standing(t))
	}
	return out
}

func (s *Service) standing(t *target) Standing {
	state := t.replica.State()
	st := Standing{ID: t.id, Name: t.name, Endpoint: t.endpoint, Ejected: state.Ejected, Cause: state.Cause, InFlight: state.InFlight}
	if state.Since > 0 {
		st.Since = s.origin.Add(state.Since)
	}
	return st
}

// standings are the figures of every replica that requests are sent to, as
// they are when somebody asks. Their number is that of instances and endpoints.
type standings struct {
	service           *Service
	inFlight, ejected *prometheus.Desc
}

func newStandings(s *Service) *standings {
	labels := []string{"replica", "kind"}
	return &standings{
		service:  s,
		inFlight: prometheus.NewDesc("inventiv_gateway_replica_requests_in_flight", "Requests of this process that the replica has.", labels, nil),
		ejected:  prometheus.NewDesc("inventiv_gateway_replica_ejected", "1 while this process has set the replica aside.", labels, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *standings) Describe(to chan<- *prometheus.Desc) {
	to <- c.inFlight
	to <- c.ejected
}

// Collect implements prometheus.Collector.
func (c *standings) Collect(to chan<- prometheus.Metric) {
	for id, t := range c.service.table.Load().targets {
		kind, ejected := "instance", 0.0
		if t.endpoint {
			kind = "endpoint"
		}
		if t.replica.Ejected() {
			ejected = 1
		}
		to <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(t.replica.InFlight()), id.String(), kind)
		to <- prometheus.MustNewConstMetric(c.ejected, prometheus.GaugeValue, ejected, id.String(), kind)
	}
}
