package console

import (
	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// takesRequests reports whether the gateway has not set an instance or endpoint
// aside. One that it has not heard of yet is believed.
func (p *Console) takesRequests(id uuid.UUID) bool {
	s, ok := p.Gateway.Standing(id)
	return !ok || !s.Ejected
}

// setAside is a note for each model whose replicas are all set aside.
func setAside(routes []gateway.Route) []views.Alert {
	var alerts []views.Alert
	for _, r := range routes {
		if r.State != gateway.SetAside {
			continue
		}
		href, action := "/instances", "See the instances"
		if r.Standings[0].Endpoint {
			href, action = "/endpoints", "See the endpoints"
		}
		alerts = append(alerts, views.Alert{Kind: "bad", Title: r.Model + " is set aside.", Text: r.Reason, Href: href, Action: action})
	}
	return alerts
}
