package views

import (
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// DeploymentRow is a deployment in a list.
type DeploymentRow struct {
	ID, Name string
	Model    string
	State    string // serving, scaling, waiting, asleep, stopped, stopping, broken
	Reason   string // a sentence, when there is something to say of the state
	Ready    int
	Replicas int // all that run or are on their way
	Min, Max int
	Idle     int      // minutes without a request, with a minimum of 0
	Offers   []string // in order of preference, for people
	PerHour  money.EUR
	Created  time.Time
}

func (d DeploymentRow) href() string { return "/deployments/" + d.ID }

func (d DeploymentRow) wanted() string {
	if d.Min == d.Max {
		return strconv.Itoa(d.Min)
	}
	return strconv.Itoa(d.Min) + "–" + strconv.Itoa(d.Max)
}

// note is the reason, by itself: what serves or sleeps waits for nothing.
func (d DeploymentRow) note() Alert {
	a := Alert{Kind: "busy", Text: d.Reason}
	if d.State == "serving" || d.State == "asleep" {
		a.Kind = ""
	}
	return a
}

// Deployments is the list of deployments.
type Deployments struct {
	Rows []DeploymentRow
	May  May
}

// Title implements Page.
func (p Deployments) Title() string {
	serving := 0
	for _, r := range p.Rows {
		if r.Ready > 0 {
			serving++
		}
	}
	switch {
	case len(p.Rows) == 0:
		return "No deployment yet"
	case serving == len(p.Rows):
		return Plural(serving, "deployment is", "deployments are") + " serving"
	}
	return Count(serving) + " of " + Plural(len(p.Rows), "deployment is", "deployments are") + " serving"
}

// Fragment implements Live.
func (p Deployments) Fragment(name string) templ.Component {
	if name == "deployments" {
		return p.content()
	}
	return nil
}

func (p Deployments) nothing() Empty {
	e := Empty{
		Icon: "boxes", Title: "Nothing is deployed",
		Text: "A deployment says which model you want, on which machines and how many. Instances follow from it.",
	}
	if p.May.Operate {
		e.Href, e.Action, e.Command = "/deployments/new", "Deploy a model", "inventiv deployments create"
	}
	return e
}

// Deployment is one deployment.
type Deployment struct {
	Row       DeploymentRow
	Instances []InstanceRow
	Offers    []OfferLine
	Snippets  Snippets
	May       May
	Refusal   Refusal
	CreatedBy string
}

// OfferLine is an offer in a deployment's order of preference.
type OfferLine struct {
	Name, Where string
	Stock       string
	PerHour     money.EUR
}

// Title implements Page.
func (p Deployment) Title() string {
	r := p.Row
	switch {
	case r.State == "stopped":
		return r.Name + " is stopped"
	case r.State == "asleep":
		return r.Name + " is asleep"
	case r.Ready > 0 && r.Ready >= r.Min:
		return r.Name + " serves on " + Plural(r.Ready, "instance", "instances")
	case r.Ready > 0:
		return r.Name + " serves on " + Count(r.Ready) + " of " + Plural(r.Min, "instance", "instances")
	case r.Replicas > 0:
		return r.Name + " is on its way"
	}
	return r.Name + " is not serving"
}

// Fragment implements Live.
func (p Deployment) Fragment(name string) templ.Component {
	if name == "deployment" {
		return p.content()
	}
	return nil
}

// ConfirmStop asks before a deployment's instances are terminated.
func ConfirmStop(id, name string) Confirm {
	return Confirm{
		ID: "stop", Heading: "Stop " + name + "?",
		Consequences: []string{
			"All its instances are drained and terminated; requests for its model get an error unless something else serves it.",
			"The deployment stays and can be started again.",
		},
		Action: "/deployments/" + id + "/stop", Back: "/deployments/" + id,
		Type: name, Button: "Stop " + name,
	}
}

// ConfirmDelete asks before a deployment goes for good.
func ConfirmDelete(id, name string) Confirm {
	return Confirm{
		ID: "delete", Heading: "Delete " + name + "?",
		Consequences: []string{
			"All its instances are drained and terminated.",
			"Usage and cost stay in the reports.",
		},
		Action: "/deployments/" + id + "/delete", Back: "/deployments/" + id,
		Type: name, Button: "Delete " + name,
	}
}

// stock says how much of an offer there is.
func stock(s string) (class, word string) {
	switch s {
	case "available":
		return "good", "in stock"
	case "scarce":
		return "warn", "few left"
	case "out":
		return "poor", "out of stock"
	}
	return "", "stock unknown"
}

// offerList writes offers for a table cell: the first and how many follow.
func offerList(offers []string) string {
	switch len(offers) {
	case 0:
		return "–"
	case 1:
		return offers[0]
	}
	return offers[0] + ", then " + strings.Join(offers[1:], ", ")
}
