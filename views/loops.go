package views

import (
	"time"

	"github.com/a-h/templ"
)

// LoopRow is one background loop of this process.
type LoopRow struct {
	Name, What string
	State      string // well, failing, late, running
	Period     time.Duration
	Last       time.Time
	Took       time.Duration
	Passes     int64
	Moved      int64
	Failures   int64
	Err        string
}

// Loops lists what works in the background.
type Loops struct {
	Rows    []LoopRow
	Process string // which replica answers
	Version string
	May     May
}

// Title implements Page.
func (p Loops) Title() string {
	bad := 0
	for _, r := range p.Rows {
		if r.State == "failing" || r.State == "late" {
			bad++
		}
	}
	switch {
	case len(p.Rows) == 0:
		return "No loop is running"
	case bad == 0:
		return "All " + Plural(len(p.Rows), "loop is", "loops are") + " well"
	}
	return Plural(bad, "loop needs", "loops need") + " a look"
}

// Fragment implements Live.
func (p Loops) Fragment(name string) templ.Component {
	if name == "loops" {
		return p.content()
	}
	return nil
}

// shortPeriod writes a period without needless zeros: "1 s", "5 min", "6 h".
func shortPeriod(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return Count(int64(d/time.Hour)) + " h"
	case d >= time.Minute && d%time.Minute == 0:
		return Count(int64(d/time.Minute)) + " min"
	case d%time.Second == 0:
		return Count(int64(d/time.Second)) + " s"
	}
	return Count(d.Milliseconds()) + " ms"
}
