package views

import (
	"strings"
	"time"
)

// Field is one labelled input of a form.
type Field struct {
	ID, Label    string
	Type         string // text when empty
	Value        string
	Hint, Wrong  string
	Placeholder  string
	AutoComplete string
	InputMode    string
	Pattern      string
	Min, Max     string
	Step         string
	Unit         string // drawn at the end, such as "€"
	Required     bool
	Focus        bool
}

func (f Field) kind() string {
	if f.Type == "" {
		return "text"
	}
	return f.Type
}

func (f Field) describedBy() string {
	switch {
	case f.Wrong != "":
		return f.ID + "-wrong"
	case f.Hint != "":
		return f.ID + "-hint"
	}
	return ""
}

// stamp is an instant for the datetime attribute.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Confirm asks before something that cannot be undone, in a dialog and, at its
// own address, as a page.
type Confirm struct {
	ID           string // of the dialog
	Heading      string // "Terminate inst-0d9b?"
	Consequences []string
	Action       string // the form posts here
	Back         string // the page to return to
	Type         string // must be typed; empty asks only for the click
	Button       string // "Terminate inst-0d9b"
	Gentle       bool   // not destructive: an ordinary button
	Refusal      Refusal
}

// Title implements Page.
func (c Confirm) Title() string { return c.Heading }

// Figure is one number of a row of figures.
type Figure struct {
	Label, Value, Unit, Note string
	Spark                    []float64
}

// Alert is a note about something that waits or is broken, with its reason and
// the one action that helps.
type Alert struct {
	Kind         string // "busy", "bad", "good" or empty
	Title, Text  string
	Until        time.Time // when the waiting is given up; may be zero
	Href, Action string    // may be empty
}

func (a Alert) icon() string {
	switch a.Kind {
	case "busy":
		return "hourglass"
	case "bad":
		return "triangle-alert"
	case "good":
		return "circle-check"
	}
	return "info"
}

// Empty is what stands where there is nothing yet: a sentence, a button and
// the same on the command line.
type Empty struct {
	Icon, Title, Text string
	Href, Action      string
	Command           string
}

// quotePattern escapes a name for the pattern attribute of an input, which is
// a regular expression with the v flag.
func quotePattern(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`\^$.*+?()[]{}|/`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
