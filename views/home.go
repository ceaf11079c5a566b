package views

import "github.com/a-h/templ"

// Home is the first page: what runs, what it costs, what needs a hand.
type Home struct {
	Serving  int // models with a ready replica or a reachable endpoint that is not set aside
	Starting int // instances on their way
	Figures  []Figure
	Alerts   []Alert
	Todo     []Task // empty once everything is done
	Rows     []InstanceRow
	Total    int // instances that are not archived
	Chart    CostChart
	Month    string // "November"
	BaseURL  string
	Model    string // one that serves, for the sample; may be empty
	May      May
}

// Task is one line of the checklist for new organisations.
type Task struct {
	Done         bool
	Title, Text  string
	Href, Action string
}

// Title implements Page.
func (h Home) Title() string {
	switch {
	case h.Serving == 1:
		return "1 model is serving"
	case h.Serving > 1:
		return Count(h.Serving) + " models are serving"
	case h.Starting > 0:
		return "No model is serving yet, " + Plural(h.Starting, "instance is", "instances are") + " starting"
	}
	return "No model is serving"
}

// Fragment implements Live.
func (h Home) Fragment(name string) templ.Component {
	if name == "home" {
		return h.content()
	}
	return nil
}

func (h Home) done() int {
	n := 0
	for _, t := range h.Todo {
		if t.Done {
			n++
		}
	}
	return n
}

func (h Home) nothingRuns() Empty {
	e := Empty{
		Icon: "server", Title: "No GPU is running: you pay 0 €/h",
		Text: "Deploy a model and its machine, engine and route appear here, step by step.",
	}
	if h.May.Operate {
		e.Href, e.Action = "/deployments/new", "Deploy a model"
		e.Command = "inventiv deployments create"
	}
	return e
}
