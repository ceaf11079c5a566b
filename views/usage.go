package views

import (
	"net/url"
	"time"

	"github.com/a-h/templ"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// Usage says what was used, by whom, and what it cost.
type Usage struct {
	Period  string // 24h, 7d, month, last
	By      string // model, key, instance
	Words   string // "this month", "in the last 24 hours"
	Spent   money.EUR
	Figures []Figure
	Chart   CostChart
	Rows    []UsageRow
	Totals  UsageRow
	Charges []ChargeRow // the dearest first
	// AllCharges is how many there are; not all of them need be listed.
	AllCharges int
	Kinds      []Cost // servers, volumes, addresses
	Records    []RecordRow
	Lag        time.Duration // how old the newest figure may be
	May        May
}

// UsageRow is one line of usage, of a model, a key or an instance.
type UsageRow struct {
	Name, Sub string
	Requests  int64
	Input     int64
	Output    int64
	Value     money.EUR // at the price list
}

// ChargeRow is a priced interval of a resource.
type ChargeRow struct {
	Instance, What string
	Model          string
	Where          string
	From, To       time.Time // To zero: still going on
	PerHour        money.EUR
	Amount         money.EUR
}

// RecordRow is one metered request.
type RecordRow struct {
	ID         string
	At         time.Time
	Key        string
	KeyID      string // empty for the playground
	Member     string
	Model      string
	Asked      string // the alias or the other model that was asked for; empty when it was Model
	Path       string
	Upstream   string
	UpstreamID string
	Endpoint   bool // the upstream is one
	Retried    bool // another one did not take it before
	Status     string
	HTTP       int
	Error      string // code
	Streamed   bool
	Source     string // engine, counted, none
	Input      int64
	Output     int64
	Cached     int64
	FirstToken time.Duration
	Took       time.Duration
	Value      money.EUR
	// Per million tokens.
	InputPrice, OutputPrice money.EUR
}

// Title implements Page.
func (p Usage) Title() string {
	if p.May.Costs {
		return EURFine(p.Spent) + " " + p.Words
	}
	return Plural(p.Totals.Requests, "request", "requests") + " " + p.Words
}

// Fragment implements Live.
func (p Usage) Fragment(name string) templ.Component {
	if name == "usage" {
		return p.content()
	}
	return nil
}

// link returns the page's address with one choice changed.
func (p Usage) link(period, by string) string {
	q := url.Values{}
	if period != "month" {
		q.Set("period", period)
	}
	if by != "model" {
		q.Set("by", by)
	}
	if len(q) == 0 {
		return "/usage"
	}
	return "/usage?" + q.Encode()
}

func (p Usage) here() string { return p.link(p.Period, p.By) }

func (p Usage) csv() string {
	q := url.Values{"period": {p.Period}, "by": {p.By}}
	return "/usage.csv?" + q.Encode()
}

var usagePeriods = []Choice{{"24h", "24 h"}, {"7d", "7 d"}, {"month", "Month"}, {"last", "Last month"}}

func (p Usage) periods() []tab {
	var tabs []tab
	for _, t := range usagePeriods {
		tabs = append(tabs, tab{p.link(t.ID, p.By), t.Name, p.Period == t.ID})
	}
	return tabs
}

func (p Usage) groups() []tab {
	var tabs []tab
	for _, t := range []Choice{{"model", "Model"}, {"key", "Key"}, {"instance", "Instance"}} {
		tabs = append(tabs, tab{p.link(p.Period, t.ID), t.Name, p.By == t.ID})
	}
	return tabs
}

func (p Usage) groupTitle() string {
	switch p.By {
	case "key":
		return "Key"
	case "instance":
		return "Instance"
	}
	return "Model"
}

// share is a row's part of the value of all rows, in percent.
func (p Usage) share(r UsageRow) int {
	if p.Totals.Value > 0 {
		return int(r.Value * 100 / p.Totals.Value)
	}
	if p.Totals.Requests > 0 {
		return int(r.Requests * 100 / p.Totals.Requests)
	}
	return 0
}
