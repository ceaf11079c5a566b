package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// What is said of a model by /v1/models, the API, the CLI and the console.
const (
	Ready    = "ready"
	SetAside = "set_aside" // all its replicas are; requests go to them for want of others
	Sleeps   = "sleeping"  // it has no replica
)

// readiness says whether the model can answer and, if its replicas are set
// aside, why, and where requests go meanwhile. No replica is named: any key that
// may use the model is told.
func (r *route) readiness() (state, reason string) {
	switch {
	case len(r.targets) == 0:
		return Sleeps, ""
	case r.serves():
		return Ready, ""
	}
	var why []string
	for _, t := range r.targets {
		if one := reasons[t.replica.State().Cause]; !slices.Contains(why, one) {
			why = append(why, one)
		}
	}
	whose, sent := "Its only replica is ", "Requests are sent to it all the same."
	if n := len(r.targets); n > 1 {
		whose, sent = fmt.Sprintf("All %d replicas are ", n), "Requests are sent to them all the same."
	}
	if i := slices.IndexFunc(r.instead, (*route).serves); i >= 0 {
		sent = "Its fallback " + r.instead[i].model + " answers meanwhile."
	}
	return SetAside, whose + setAside + strings.Join(why, ", or ") + ". " + sent
}

// serves reports whether the route has a replica that is not set aside.
func (r *route) serves() bool {
	return slices.ContainsFunc(r.targets, func(t *target) bool { return !t.replica.Ejected() })
}

// Why says for people that and why the replica is set aside; empty when it is
// not.
func (st Standing) Why() string {
	if !st.Ejected {
		return ""
	}
	return setAside + reasons[st.Cause]
}

const setAside = "set aside by the gateway: "

var reasons = map[balance.Cause]string{ //nolint:gochecknoglobals // a table
	balance.Connection: "it could not be reached, or broke off",
	balance.Canary:     "it fails its checks",
	balance.Stalled:    "it has work and generates nothing",
}
