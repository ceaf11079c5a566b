package views

import "strings"

// lifecycle says how a state looks and what it is called. Its word stands
// beside a shape of its own, so no colour is needed to tell states apart.
type lifecycle struct{ Kind, Word string }

var states = map[string]lifecycle{
	"provisioning":        {"busy", "Provisioning"},
	"booting":             {"busy", "Booting"},
	"installing":          {"busy", "Installing"},
	"starting":            {"busy", "Starting"},
	"ready":               {"ready", "Ready"},
	"draining":            {"busy", "Draining"},
	"terminating":         {"busy", "Terminating"},
	"terminated":          {"off", "Terminated"},
	"archived":            {"off", "Archived"},
	"provisioning_failed": {"bad", "Not provisioned"},
	"startup_failed":      {"bad", "Did not start"},
	"failed":              {"bad", "Failed"},
	// deployments
	"serving":  {"ready", "Serving"},
	"scaling":  {"busy", "Scaling"},
	"waiting":  {"busy", "Waiting"},
	"asleep":   {"off", "Asleep"},
	"stopped":  {"off", "Stopped"},
	"stopping": {"busy", "Stopping"},
	"broken":   {"bad", "Not serving"},
	// endpoints
	"reachable":   {"ready", "Reachable"},
	"unreachable": {"bad", "Unreachable"},
	"set_aside":   {"bad", "Set aside"},
	"unknown":     {"off", "Not checked yet"},
	// loops
	"well":    {"ready", "Well"},
	"failing": {"bad", "Failing"},
	"late":    {"busy", "Late"},
	"running": {"busy", "Running"},
	// keys and members
	"active":  {"ready", "Active"},
	"invited": {"busy", "Invited"},
	"expired": {"off", "Expired"},
	"revoked": {"off", "Revoked"},
}

func stateOf(state string) lifecycle {
	if l, ok := states[state]; ok {
		return l
	}
	return lifecycle{"off", state}
}

// steps names what an instance goes through, by the code of the step.
var steps = map[string]string{
	"requested":       "Requested",
	"server_created":  "Server created",
	"volume_ready":    "Volume ready",
	"powered_on":      "Powered on",
	"address_known":   "Address known",
	"network_secured": "Network closed",
	"reachable":       "Machine reachable",
	"agent_installed": "Agent installed",
	"engine_http":     "Engine answers",
	"model_loaded":    "Model loaded",
	"first_token":     "First token generated",
	"verified":        "Verified",
	"ready":           "Ready",
}

// doing names a step that is still going on.
var doing = map[string]string{
	"requested":       "asking for it",
	"server_created":  "creating the server",
	"volume_ready":    "preparing the volume",
	"powered_on":      "powering on",
	"address_known":   "waiting for an address",
	"network_secured": "closing the network",
	"reachable":       "waiting for the machine",
	"agent_installed": "installing the agent",
	"engine_http":     "starting the engine",
	"model_loaded":    "loading the model",
	"first_token":     "generating the first token",
	"verified":        "verifying",
	"ready":           "taking it into service",
}

// title names the step, or what is being done while it lasts.
func (s Step) title() string {
	if d, ok := doing[s.Code]; ok && s.State == "now" {
		return strings.ToUpper(d[:1]) + d[1:]
	}
	if t, ok := steps[s.Code]; ok {
		return t
	}
	return s.Code
}
