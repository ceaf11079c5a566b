package instance

import (
	"slices"
	"time"
)

// State is where an instance is in its life.
type State string

// The states, in the order in which a healthy instance passes through them,
// and the three in which an unhealthy one stops.
const (
	Provisioning       State = "provisioning" // the provider is asked for a server
	Booting            State = "booting"      // the server is switched on and must become reachable
	Installing         State = "installing"   // the agent is put on it and must join
	Starting           State = "starting"     // the engine loads the model and must generate a token
	Ready              State = "ready"        // it serves
	Draining           State = "draining"     // it finishes what runs and takes nothing new
	Terminating        State = "terminating"  // everything billed is being deleted
	Terminated         State = "terminated"   // the provider has said that everything is gone
	Archived           State = "archived"     // terminated, and out of people's sight
	ProvisioningFailed State = "provisioning_failed"
	StartupFailed      State = "startup_failed"
	Failed             State = "failed"
)

// rule is what holds in one state.
type rule struct {
	next     []State       // where it may go
	deadline time.Duration // how long it may last; 0: it waits for nothing
	expired  State         // where passing the deadline leads; the same state: a new deadline
	reason   Reason        // why, when that happens
	sentence string        // what is going on, for people
}

// rules is the one table of transitions: no other code decides which state may
// follow which. A failed instance waits, too, for its server to be gone.
var rules = map[State]rule{
	Provisioning: {
		next:     []State{Booting, ProvisioningFailed, Failed, Terminating},
		deadline: time.Hour, expired: ProvisioningFailed, reason: ReasonProvisioningTimeout,
		sentence: "A server is being requested from the provider.",
	},
	Booting: {
		next:     []State{Installing, StartupFailed, Failed, Terminating},
		deadline: 20 * time.Minute, expired: StartupFailed, reason: ReasonBootTimeout,
		sentence: "The server is starting.",
	},
	Installing: {
		next:     []State{Starting, Booting, StartupFailed, Failed, Terminating},
		deadline: 25 * time.Minute, expired: StartupFailed, reason: ReasonInstallTimeout,
		sentence: "The agent is being installed on the server.",
	},
	Starting: {
		next:     []State{Ready, Booting, StartupFailed, Failed, Terminating},
		deadline: time.Hour, expired: StartupFailed, reason: ReasonStartupTimeout,
		sentence: "The engine is loading the model.",
	},
	Ready: {
		next:     []State{Draining, Booting, Terminating},
		sentence: "The instance answers requests.",
	},
	Draining: {
		next:     []State{Terminating},
		deadline: 10 * time.Minute, expired: Terminating, reason: ReasonDrainTimeout,
		sentence: "The instance finishes its running requests and takes no new ones.",
	},
	Terminating: {
		next:     []State{Terminated},
		deadline: 10 * time.Minute, expired: Terminating, reason: ReasonDeletionSlow,
		sentence: "Everything that is billed for the instance is being deleted.",
	},
	Terminated: {
		next:     []State{Archived},
		sentence: "The provider has confirmed that everything is gone; nothing is billed any more.",
	},
	Archived: {
		sentence: "The instance is gone and kept for the record only.",
	},
	ProvisioningFailed: {
		next:     []State{Provisioning, Terminating},
		deadline: 10 * time.Minute, expired: ProvisioningFailed, reason: ReasonDeletionSlow,
		sentence: "No server could be had.",
	},
	StartupFailed: {
		next:     []State{Provisioning, Terminating},
		deadline: 10 * time.Minute, expired: StartupFailed, reason: ReasonDeletionSlow,
		sentence: "The server was there, but it never served.",
	},
	Failed: {
		next:     []State{Provisioning, Terminating},
		deadline: 10 * time.Minute, expired: Failed, reason: ReasonDeletionSlow,
		sentence: "The instance failed.",
	},
}

// States lists all states in the order of a life.
func States() []State {
	return []State{
		Provisioning, Booting, Installing, Starting, Ready, Draining, Terminating, Terminated, Archived,
		ProvisioningFailed, StartupFailed, Failed,
	}
}

// May reports whether an instance in state s may go to state to.
func (s State) May(to State) bool { return slices.Contains(rules[s].next, to) }

// Deadline returns how long an instance may stay in s, or 0 for a state that
// waits for nothing.
func (s State) Deadline() time.Duration { return rules[s].deadline }

// Sentence says for people what is going on in s.
func (s State) Sentence() string { return rules[s].sentence }

// Failure reports whether s is one of the states in which an instance that did
// not make it stops.
func (s State) Failure() bool { return s == ProvisioningFailed || s == StartupFailed || s == Failed }

// Rising reports whether an instance in s is on its way to serve, or serves.
func (s State) Rising() bool {
	return s == Provisioning || s == Booting || s == Installing || s == Starting || s == Ready
}

// Gone reports whether nothing of the instance exists any more.
func (s State) Gone() bool { return s == Terminated || s == Archived }

// hasAgent reports whether an agent is expected to run and may speak for an
// instance in s.
func (s State) hasAgent() bool {
	return s == Installing || s == Starting || s == Ready || s == Draining
}

// failure returns the state in which an instance that fails in s stops.
func (s State) failure() State {
	switch s {
	case Provisioning:
		return ProvisioningFailed
	case Booting, Installing, Starting:
		return StartupFailed
	}
	return Failed
}
