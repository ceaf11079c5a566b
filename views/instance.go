package views

import (
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// Instance is one instance with all that is known of it.
type Instance struct {
	Row         InstanceRow
	Replica     string // "replica 2 of 2"; may be empty
	Connected   string // "online", "suspect", "lost"
	Steps       []Step
	Started     time.Time // of this generation
	Ready       time.Time // zero before
	Left        time.Duration
	Wait        Alert // why it is not ready; the zero value when it is
	Costs       []Cost
	CostSoFar   money.EUR
	PerMonth    money.EUR
	Facts       []Fact
	Gauges      []GaugeRow
	History     []Change
	Log         Log
	Actions     []string // what its state allows: replace, terminate, archive, reinstall, retry
	May         May
	Generation  int
	Deployment  string // name
	DeployedID  string
	RecentUsage int64 // requests in the last hour
}

// Step is one step of the timeline.
type Step struct {
	Code    string
	State   string // "done", "now", "failed" or "todo"
	Detail  string
	Share   int    // percent, only where bytes or shards are counted
	Usual   string // "usually 21 s"; empty when nobody knows
	Started time.Time
	Took    time.Duration
}

// Cost is one priced part of an instance.
type Cost struct {
	What    string
	Amount  money.EUR
	PerHour money.EUR
	Ended   bool
}

// Fact is a name and its value.
type Fact struct {
	Name, Value string
	Mono        bool
	At          time.Time // shown as a time ago when set
}

// GaugeRow is a measured figure with its last hour.
type GaugeRow struct {
	Name, Value string
	Values      []float64
	Top         float64
}

// Change is one transition in an instance's history.
type Change struct {
	At           time.Time
	State        string
	Reason, Text string
}

// Log is the tail of one of an instance's logs.
type Log struct {
	Source  string // the one shown
	Sources []string
	Lines   []LogLine
	Why     string // why there is none
}

// LogLine is one line of a log.
type LogLine struct {
	At    time.Time
	Level string // "", "warn" or "error"
	Text  string
}

// Title implements Page.
func (p Instance) Title() string {
	n, l := p.Row.Name, stateOf(p.Row.State)
	switch {
	case p.Row.State == "ready" && p.Connected == "lost":
		return n + " serves " + p.Row.Model + ", but is not heard from"
	case p.Row.State == "ready":
		return n + " serves " + p.Row.Model
	case p.Left > 0 && p.Row.moving():
		return n + ", ready in " + Soon(p.Left)
	case p.Row.moving() && p.Row.State != "terminating" && p.Row.State != "draining" && doing[p.Row.Step] != "":
		return n + ", " + doing[p.Row.Step]
	}
	return n + ", " + strings.ToLower(l.Word)
}

// Fragment implements Live.
func (p Instance) Fragment(name string) templ.Component {
	switch name {
	case "instance":
		return p.content()
	case "log":
		return p.LogSheet()
	}
	return nil
}

func (p Instance) href() string { return p.Row.href() }

// spent returns how long this generation took until it was ready, or takes.
func (p Instance) spent() string {
	if !p.Ready.IsZero() {
		return "ready after " + Took(p.Ready.Sub(p.Started))
	}
	return ""
}

func (p Instance) allows(action string) bool {
	return p.May.Operate && slices.Contains(p.Actions, action)
}

// Verb names an action on an instance and what it does.
type Verb struct {
	Icon, Name   string
	Gentle       bool
	Consequences []string
}

// Verbs are the actions on an instance, by the last part of their address.
var Verbs = map[string]Verb{
	"terminate": {Icon: "power", Name: "Terminate", Consequences: []string{
		"Requests in progress may finish; no new ones are sent to it.",
		"The machine, its volumes and its address are deleted at the provider, and the cost ends with the last of them.",
		"Its history, usage and cost stay here.",
	}},
	"replace": {Icon: "replace", Name: "Replace", Consequences: []string{
		"A new instance of the same deployment is started.",
		"This one serves until it is ready, then it is drained and terminated: both cost money for that time.",
	}},
	"reinstall": {Icon: "rotate-cw", Name: "Reinstall", Consequences: []string{
		"The engine is stopped at once: requests in progress are cut off.",
		"Agent and engine are installed anew on the same machine, which costs what it costs now.",
	}},
	"archive": {Icon: "archive", Name: "Archive", Gentle: true, Consequences: []string{
		"It leaves the lists. Its history, usage and cost stay in the reports.",
	}},
	"retry": {Icon: "play", Name: "Retry", Gentle: true, Consequences: []string{
		"It goes on from the step that failed.",
	}},
	"cordon":   {Icon: "square", Name: "Cordon", Gentle: true, Consequences: []string{"It finishes what it has and takes no new requests."}},
	"uncordon": {Icon: "play", Name: "Uncordon", Gentle: true, Consequences: []string{"It takes requests again."}},
}

// VerbOrder is the order in which actions are offered.
var VerbOrder = []string{"retry", "uncordon", "cordon", "replace", "reinstall", "archive", "terminate"}

// ConfirmVerb asks before an action on the instance called name.
func ConfirmVerb(verb, id, name string) Confirm {
	v := Verbs[verb]
	c := Confirm{
		ID: verb, Heading: v.Name + " " + name + "?", Consequences: v.Consequences,
		Action: "/instances/" + id + "/" + verb, Back: "/instances/" + id,
		Button: v.Name + " " + name, Gentle: v.Gentle,
	}
	if !v.Gentle {
		c.Type = name
	}
	return c
}

// logSource names a log for people.
var logSource = map[string]string{"engine": "Engine", "agent": "Agent", "bootstrap": "Bootstrap", "operations": "Operations"}
