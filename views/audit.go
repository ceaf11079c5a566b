package views

import "time"

// AuditRow is one change.
type AuditRow struct {
	At        time.Time
	Who       string // e-mail address or name of a key, as it was then
	Key       bool   // it was a key
	IP        string // empty when nobody asked
	Action    string // noun.verb
	Object    string
	Detail    string // name=value, for people
	RequestID string
}

// Audit lists who changed what.
type Audit struct {
	Rows   []AuditRow
	Before string // where the page begins; empty: with the newest
	Older  string // where the next one does; empty: there is none
	Days   int    // for how long lines are kept; 0: for ever
	May    May
}

// Title implements Page.
func (p Audit) Title() string { return "Who changed what" }
