package views

import (
	"time"

	"github.com/a-h/templ"
)

// EndpointRow is an endpoint in the list.
type EndpointRow struct {
	ID, Name string
	Model    string
	URL      string
	State    string // reachable, unreachable, unknown
	Message  string
	Keyed    bool // it has a key of its own
	Checked  time.Time
}

// Endpoints lists endpoints and adds one.
type Endpoints struct {
	Rows    []EndpointRow
	Form    EndpointForm
	Refusal Refusal
	May     May
}

// EndpointForm is what was typed; the key is never written back.
type EndpointForm struct{ Name, Model, URL string }

// Title implements Page.
func (p Endpoints) Title() string {
	reachable := 0
	for _, r := range p.Rows {
		if r.State == "reachable" {
			reachable++
		}
	}
	switch {
	case len(p.Rows) == 0:
		return "No endpoint yet"
	case reachable == len(p.Rows):
		return Plural(reachable, "endpoint is", "endpoints are") + " reachable"
	}
	return Count(reachable) + " of " + Plural(len(p.Rows), "endpoint is", "endpoints are") + " reachable"
}

// Fragment implements Live.
func (p Endpoints) Fragment(name string) templ.Component {
	if name == "endpoints" {
		return p.list()
	}
	return nil
}

// ConfirmRemoveEndpoint asks before an endpoint is removed.
func ConfirmRemoveEndpoint(id, name string) Confirm {
	return Confirm{
		ID: "remove-" + id, Heading: "Remove " + name + "?",
		Consequences: []string{
			"Requests are no longer sent to it; its model gets an error unless something else serves it.",
			"The server itself is not touched. Past usage stays in the reports.",
		},
		Action: "/endpoints/" + id + "/remove", Back: "/endpoints", Button: "Remove " + name,
	}
}

func urlHint(m May) string {
	if m.PrivateEndpoints {
		return "Up to and with /v1. Addresses of this network are allowed for you."
	}
	return "Up to and with /v1; a public address."
}
