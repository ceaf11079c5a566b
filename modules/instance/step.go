package instance

// Step is one of the moves that take a new instance to its first token.
type Step string

// The steps, in their order. The names are kept in the database.
const (
	StepRequested      Step = "requested"
	StepServerCreated  Step = "server_created"
	StepVolumeReady    Step = "volume_ready"
	StepPoweredOn      Step = "powered_on"
	StepAddressKnown   Step = "address_known"
	StepNetworkSecured Step = "network_secured"
	StepReachable      Step = "reachable"
	StepAgentInstalled Step = "agent_installed"
	StepEngineHTTP     Step = "engine_http"
	StepModelLoaded    Step = "model_loaded"
	StepFirstToken     Step = "first_token"
	StepVerified       Step = "verified"
	StepReady          Step = "ready"
)

// rung is a step with the state it is taken in and how far the instance is once
// it is complete.
type rung struct {
	step     Step
	state    State
	progress int
	title    string
}

// ladder lists the steps in order. Progress counts complete steps only, so 100
// means that a token was generated, verified, and that requests are routed.
var ladder = []rung{
	{StepRequested, Provisioning, 5, "Requested"},
	{StepServerCreated, Provisioning, 20, "Server created"},
	{StepVolumeReady, Provisioning, 25, "Volume ready"},
	{StepPoweredOn, Provisioning, 30, "Switched on"},
	{StepAddressKnown, Booting, 40, "Address known"},
	{StepNetworkSecured, Booting, 45, "Network secured"},
	{StepReachable, Booting, 50, "Reachable"},
	{StepAgentInstalled, Installing, 60, "Agent joined"},
	{StepEngineHTTP, Starting, 70, "Engine answers"},
	{StepModelLoaded, Starting, 80, "Model loaded"},
	{StepFirstToken, Starting, 90, "First token"},
	{StepVerified, Starting, 95, "Verified"},
	{StepReady, Ready, 100, "Ready"},
}

// Steps lists the steps in their order.
func Steps() []Step {
	steps := make([]Step, len(ladder))
	for i, r := range ladder {
		steps[i] = r.step
	}
	return steps
}

// Title names the step for people.
func (s Step) Title() string { return ladder[s.at()].title }

// Progress returns how far an instance is, in percent, once s is complete.
func (s Step) Progress() int { return ladder[s.at()].progress }

// state returns the state the step is taken in.
func (s Step) state() State { return ladder[s.at()].state }

// next returns the step after s, and s itself for the last one.
func (s Step) next() Step { return ladder[min(s.at()+1, len(ladder)-1)].step }

// before returns how far an instance is whose step in progress is s.
func (s Step) before() int {
	if i := s.at(); i > 0 {
		return ladder[i-1].progress
	}
	return 0
}

func (s Step) at() int {
	for i, r := range ladder {
		if r.step == s {
			return i
		}
	}
	return 0
}

// first returns the first step that is taken in state, for a state that has
// steps.
func (s State) first() Step {
	for _, r := range ladder {
		if r.state == s && r.step != StepRequested {
			return r.step
		}
	}
	return ""
}
