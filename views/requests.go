package views

import (
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"
)

// Requests lists metered requests, the newest first.
type Requests struct {
	Filter  RequestFilter
	Words   string // "in the last 24 hours"
	Rows    []RecordRow
	Older   string // where the next page begins; empty after the last
	Keys    []Choice
	Members []Choice
	Paths   []string
	// Upstream names the instance or endpoint that the list is narrowed to.
	Upstream string
	Refusal  Refusal
	May      May
}

// RequestFilter is what a list of requests is narrowed to, as it was typed, under
// the names that the API has for it. Empty fields do not narrow it.
type RequestFilter struct {
	Period   string // 24h, 7d, month, last; what From and To say goes before it
	From, To string
	Model    string
	Key      string
	Member   string
	Status   string
	Error    string
	Path     string
	Upstream string
	Retried  string // true, false
	// At least so many milliseconds.
	MinDuration, MinFirstToken string
	Before                     string // continue after this position
}

// Query writes the filter for an address.
func (f RequestFilter) Query() string {
	q := url.Values{}
	for name, value := range map[string]string{
		"period": f.Period, "from": f.From, "to": f.To, "model": f.Model, "key": f.Key, "member": f.Member, "status": f.Status, "error": f.Error,
		"path": f.Path, "retried": f.Retried, "upstream": f.Upstream, "min_duration_ms": f.MinDuration, "min_first_token_ms": f.MinFirstToken, "before": f.Before,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q.Encode()
}

func (f RequestFilter) link() string { return "/requests?" + f.Query() }

// narrow reports whether more than the time narrows the list.
func (f RequestFilter) narrow() bool {
	return f != RequestFilter{Period: f.Period, From: f.From, To: f.To, Before: f.Before}
}

// more reports whether a filter is in use that is not always shown.
func (p Requests) more() bool {
	f := p.Filter
	return f.Error+f.Path+f.Retried+f.MinDuration+f.MinFirstToken+f.From+f.To != "" || p.Refusal.Text != ""
}

// Title implements Page.
func (p Requests) Title() string {
	what := Plural(len(p.Rows), "request", "requests")
	switch {
	case p.Refusal.Text != "":
		return "Requests"
	case p.Filter.Before != "":
		return "Older requests " + p.Words
	case p.Older != "":
		what = "More than " + what
	case len(p.Rows) == 0:
		what = "No request"
	}
	return what + " " + p.Words
}

// Fragment implements Live.
func (p Requests) Fragment(name string) templ.Component {
	if name == "requests" {
		return p.list()
	}
	return nil
}

// alive lets the newest page follow what happens; an older one stays as it is.
func (p Requests) alive() templ.Attributes {
	if p.Filter.Before != "" || p.Refusal.Text != "" {
		return live(p.Filter.link(), "requests")
	}
	return live(p.Filter.link(), "requests", "usage")
}

func (p Requests) periods() []tab {
	var tabs []tab
	for _, t := range usagePeriods {
		f := p.Filter
		f.Period, f.From, f.To, f.Before = t.ID, "", "", ""
		tabs = append(tabs, tab{f.link(), t.Name, p.Filter.Period == t.ID && p.Filter.From+p.Filter.To == ""})
	}
	return tabs
}

func (p Requests) older() string {
	f := p.Filter
	f.Before = p.Older
	return f.link()
}

func (p Requests) newest() string {
	f := p.Filter
	f.Before = ""
	return f.link()
}

// with narrows the list by what one of its rows is, too.
func (p Requests) with(change func(f *RequestFilter)) templ.SafeURL {
	f := p.Filter
	f.Before = ""
	change(&f)
	return templ.SafeURL(f.link())
}

func (p Requests) keys() []Choice { return append([]Choice{{"", "any"}}, p.Keys...) }

func (p Requests) members() []Choice { return append([]Choice{{"", "any"}}, p.Members...) }

func (p Requests) paths() []Choice {
	all := []Choice{{"", "any"}}
	for _, path := range p.Paths {
		all = append(all, Choice{path, path})
	}
	return all
}

var requestStatuses = []Choice{{"", "any"}, {"completed", "completed"}, {"interrupted", "interrupted"}}

var requestRetries = []Choice{{"", "any"}, {"true", "two servers"}, {"false", "one server"}}

// requestEnds are the ways in which a request does not complete: its code, a few
// words, and a sentence.
var requestEnds = []struct{ code, words, text string }{
	{"client_gone", "client left", "The client left before the answer was whole. What had been generated until then is metered."},
	{"upstream_unreachable", "server unreachable", "The model's server could not be reached."},
	{"upstream_lost", "server broke off", "The model's server broke off in the middle of its answer."},
	{"upstream_timeout", "server fell silent", "The model's server did not go on in time."},
	{"upstream_error", "server's error", "The model's server answered with an error, which the client was given."},
	{"bad_upstream", "not an answer", "The model's server sent something that is no answer."},
	{"key_revoked", "key revoked", "The API key was revoked while the answer was being generated."},
	{"process_killed", "process killed", "This service was killed during the request. What is metered is what was noted last, at most 256 tokens or 2 seconds before."},
	{"gateway_busy", "out of memory", "The answer found no room in this service's memory."},
	{"metering_unavailable", "not metered", "The usage could not be recorded, so the answer was not given."},
}

func endings() []Choice {
	all := []Choice{{"", "any"}}
	for _, e := range requestEnds {
		all = append(all, Choice{e.code, e.words})
	}
	return all
}

// Outcome says in a few words how a request ended.
func (r RecordRow) Outcome() string {
	if r.Status == "completed" {
		return strconv.Itoa(r.HTTP)
	}
	for _, e := range requestEnds {
		if e.code == r.Error {
			return e.words
		}
	}
	return r.Status
}

// Reason says in a sentence how a request ended.
func (r RecordRow) Reason() string {
	if r.Status == "completed" {
		return "The answer was whole."
	}
	for _, e := range requestEnds {
		if e.code == r.Error {
			return e.text
		}
	}
	return "The answer was not whole."
}

// Counting says where the numbers of tokens come from; nothing when they are the
// engine's own.
func (r RecordRow) Counting() string {
	switch r.Source {
	case "counted":
		return "counted here"
	case "none":
		return "not counted"
	}
	return ""
}

// PerSecond is how many tokens came in a second, once the first one was there.
func (r RecordRow) PerSecond() string {
	tokens, took := r.Output, r.Took
	if r.Streamed {
		tokens, took = r.Output-1, r.Took-r.FirstToken
	}
	if tokens <= 0 || took < time.Millisecond {
		return "–"
	}
	return strconv.FormatFloat(float64(tokens)/took.Seconds(), 'f', 1, 64)
}

// counted says who counted the tokens.
func (r RecordRow) counted() string {
	switch r.Source {
	case "counted":
		return "by this service, from what the stream held; the prompt's are an estimate"
	case "none":
		return "by nobody: the engine did not say"
	}
	return "by the engine"
}

func (r RecordRow) firstToken() string {
	if r.FirstToken <= 0 {
		return "–"
	}
	return Millis(r.FirstToken)
}

func (r RecordRow) link() templ.SafeURL { return templ.SafeURL("/requests/" + r.ID) }

// Request is one of them.
type Request struct {
	Row RecordRow
	May May
}

// Title implements Page.
func (p Request) Title() string {
	if p.Row.Status == "completed" {
		return "Answered in " + Millis(p.Row.Took)
	}
	return "Interrupted after " + Millis(p.Row.Took) + ": " + p.Row.Outcome()
}
