package views

import "time"

// Account is the page of the person who is signed in.
type Account struct {
	Email, Name  string
	Role         string
	Organisation string
	Theme        string
	Sessions     []SessionRow
	Done         string // a sentence about what was just done
	Refusal      Refusal
}

// SessionRow is one place where the person is signed in.
type SessionRow struct {
	ID       string
	Browser  string
	IP       string
	Created  time.Time
	LastSeen time.Time
	Current  bool
}

// Title implements Page.
func (p Account) Title() string { return p.Email }

var themes = []struct{ Value, Name, Icon string }{
	{"", "As the system", "monitor"}, {"light", "Light", "sun"}, {"dark", "Dark", "moon"},
}
