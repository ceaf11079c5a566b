package views

import (
	"time"

	"github.com/a-h/templ"
)

// KeyRow is an API key in the list.
type KeyRow struct {
	ID, Name string
	Shown    string // "sk-inv-4fGh2…"
	Owner    string
	Scopes   []string
	State    string // active, expired, revoked
	Created  time.Time
	Expires  time.Time // zero: never
	LastUsed time.Time
}

// Keys lists API keys and makes new ones.
type Keys struct {
	Rows    []KeyRow
	Made    *MadeKey // just made: the only time its secret is shown
	Form    KeyForm
	Refusal Refusal
	May     May
}

// MadeKey is a key at the moment of its making.
type MadeKey struct {
	Name, Secret string
	BaseURL      string
	Model        string
}

// KeyForm is what was typed.
type KeyForm struct{ Name, Scope, Expires string }

// Title implements Page.
func (p Keys) Title() string {
	if p.Made != nil {
		return "Key " + p.Made.Name + " is ready"
	}
	active := 0
	for _, k := range p.Rows {
		if k.State == "active" {
			active++
		}
	}
	if active == 0 {
		return "No API key is active"
	}
	return Plural(active, "API key is", "API keys are") + " active"
}

// Fragment implements Live.
func (p Keys) Fragment(name string) templ.Component {
	switch name {
	case "keys":
		return p.list()
	case "title":
		return p.heading()
	}
	return nil
}

// ConfirmRevoke asks before a key stops working.
func ConfirmRevoke(id, name string) Confirm {
	return Confirm{
		ID: "revoke-" + id, Heading: "Revoke " + name + "?",
		Consequences: []string{
			"Requests with it are refused within three seconds, everywhere.",
			"It cannot be brought back. Past usage stays in the reports.",
		},
		Action: "/keys/" + id + "/revoke", Back: "/keys", Button: "Revoke " + name,
	}
}

var keyScopes = []Choice{
	{"inference", "Inference: call models"},
	{"admin", "Admin: the JSON API and the command line"},
}

var keyExpiries = []Choice{
	{"90", "in 90 days"}, {"30", "in 30 days"}, {"365", "in a year"}, {"never", "never"},
}

// curl is a first call with the key, ready to paste.
func (k MadeKey) curl() string {
	model := k.Model
	if model == "" {
		return "curl " + k.BaseURL + "/models \\\n  -H \"Authorization: Bearer " + k.Secret + "\""
	}
	return "curl " + k.BaseURL + "/chat/completions \\\n  -H \"Authorization: Bearer " + k.Secret + "\" \\\n" +
		"  -H \"Content-Type: application/json\" \\\n  -d '{\"model\": \"" + model + "\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'"
}
