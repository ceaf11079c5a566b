package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
)

// Route is an organisation's way to a model.
type Route struct {
	Model    string         `json:"model" required:"true" description:"The model of a request."`
	State    string         `json:"state" required:"true" enum:"ready,set_aside,sleeping"`
	Reason   string         `json:"reason" required:"true" description:"Why all its replicas are set aside, and where requests go meanwhile."`
	Fallback []string       `json:"fallback" required:"true" description:"Models that answer while none of the replicas is ready, in order."`
	Replicas []RouteReplica `json:"replicas" required:"true"`
}

// RouteReplica is an instance or endpoint that a model's requests go to.
type RouteReplica struct {
	ID   uuid.UUID `json:"id" required:"true"`
	Name string    `json:"name" required:"true"`
	Kind string    `json:"kind" required:"true" enum:"instance,endpoint"`

	Standing
}

// Standing is how a replica stands with the process that answers.
type Standing struct {
	Ejected  bool       `json:"ejected" required:"true" description:"It is set aside and sent no requests but trials, as long as there are others."`
	Cause    string     `json:"cause" required:"true" enum:",connection,canary,stalled"`
	Why      string     `json:"why" required:"true" description:"The same for people."`
	Since    *time.Time `json:"since,omitempty" description:"When it was set aside or came back."`
	InFlight int64      `json:"in_flight" required:"true" description:"Requests of this process that it has."`
}

func toStanding(s gateway.Standing) Standing {
	return Standing{s.Ejected, string(s.Cause), s.Why(), some(s.Since), s.InFlight}
}

func toRoute(r gateway.Route) Route {
	out := Route{Model: r.Model, State: r.State, Reason: r.Reason, Fallback: append([]string{}, r.Fallbacks...)}
	out.Replicas = listOf(r.Standings, func(s gateway.Standing) RouteReplica {
		kind := "instance"
		if s.Endpoint {
			kind = "endpoint"
		}
		return RouteReplica{s.ID, s.Name, kind, toStanding(s)}
	}).Items
	return out
}

func (a *API) getRoutes(c ctx, actor auth.Actor, _ None) (List[Route], error) {
	all, err := a.Gateway.Routes(c, actor)
	return listOf(all, toRoute), err
}

type newFallback struct {
	Ref    string   `path:"ref" json:"-" description:"Id or name; the slashes of a name are written %2F."`
	Models []string `json:"models" required:"true" description:"Ids or names, in order, at most 8."`
}

func (a *API) putFallback(c ctx, actor auth.Actor, in newFallback) (Route, error) {
	r, err := a.Gateway.SetFallback(c, actor, in.Ref, in.Models)
	return toRoute(r), err
}

// standingOf is how an instance or endpoint stands; nil when no requests go there.
func (a *API) standingOf(id uuid.UUID) *Standing {
	s, ok := a.Gateway.Standing(id)
	if !ok {
		return nil
	}
	out := toStanding(s)
	return &out
}
