package views

import (
	"strconv"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// Shell is what surrounds every page of a signed-in person.
type Shell struct {
	Theme        string // "light", "dark" or empty for the system's
	Path         string // of the navigation entry the page belongs to
	Since        string // id of the last event the page has seen
	Person       string // e-mail address
	Organisation Choice // the current one
	Others       []Choice
	Counts       map[string]int // beside navigation entries, by path
	May          May
	Meter        Meter
}

// Choice is one of several things with an id and a name.
type Choice struct{ ID, Name string }

// May says what the person is allowed to see and do; it hides what would only
// be refused. The services decide, not this.
type May struct {
	Instances, Operate       bool
	Models, EditPrices       bool
	Endpoints, EditEndpoints bool
	PrivateEndpoints         bool
	Keys, AllKeys            bool
	Members, EditMembers     bool
	Limits                   bool // of members and the organisation
	Usage, AllUsage, Costs   bool
	Inference, Audit         bool
	Platform                 bool
}

// Meter is the line on top of every page.
type Meter struct {
	Costs    bool // whether the person may see money
	PerHour  money.EUR
	Month    money.EUR
	Forecast money.EUR // of the whole month
	Now      time.Time
	Requests int64 // answered in the last full minute
}

// until names the last day of the month: "30th".
func (m Meter) until() string {
	y, month, _ := m.Now.UTC().Date()
	day := time.Date(y, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	suffix := "th"
	if day == 31 {
		suffix = "st"
	}
	return strconv.Itoa(day) + suffix
}

// entry is one line of the navigation.
type entry struct {
	Path, Title, Icon string
	Shown             bool
}

type navGroup struct {
	Title   string
	Entries []entry
}

func (s Shell) nav() []navGroup {
	m := s.May
	all := []navGroup{
		{"Serve", []entry{
			{"/", "Home", "house", true},
			{"/deployments", "Deployments", "boxes", m.Instances},
			{"/instances", "Instances", "server", m.Instances},
			{"/models", "Models", "box", m.Models},
			{"/endpoints", "Endpoints", "plug", m.Endpoints},
		}},
		{"Use", []entry{
			{"/playground", "Playground", "message-square", m.Inference},
			{"/keys", "API keys", "key-round", m.Keys},
			{"/usage", "Usage and cost", "chart-column", m.Usage},
			{"/requests", "Requests", "list", m.Usage},
		}},
		{"Operate", []entry{
			{"/members", "Members", "users", m.Members},
			{"/audit", "Audit", "shield-check", m.Audit},
			{"/loops", "Loops", "refresh-cw", m.Platform},
		}},
	}
	groups := all[:0]
	for _, g := range all {
		var shown []entry
		for _, e := range g.Entries {
			if e.Shown {
				shown = append(shown, e)
			}
		}
		if len(shown) > 0 {
			groups = append(groups, navGroup{g.Title, shown})
		}
	}
	return groups
}

func (s Shell) count(path string) string {
	if n := s.Counts[path]; n > 0 {
		return strconv.Itoa(n)
	}
	return ""
}

// Refusal is why a form was not accepted. The zero value draws nothing.
type Refusal struct {
	Text      string // what happened and why
	Fix       string // what to do; may be empty
	Field     string // the field it is about; may be empty
	RequestID string
}

// on returns the text when the refusal is about field.
func (r Refusal) on(field string) string {
	if r.Field != field {
		return ""
	}
	return strings.TrimSpace(r.Text + " " + r.Fix)
}
