package views

import (
	"time"

	"github.com/a-h/templ"
)

// MemberRow is a person in the organisation.
type MemberRow struct {
	ID, Email string
	Name      string
	Role      string
	State     string // active, invited
	Since     time.Time
	LastSeen  time.Time
	You       bool
	Editable  bool // by the person who looks
}

// Members lists the people of an organisation.
type Members struct {
	Rows         []MemberRow
	Organisation string
	Roles        []Choice // that the person may grant
	Invited      *Invitation
	Form         MemberForm
	Refusal      Refusal
	May          May
}

// Invitation is a one-time link for somebody new.
type Invitation struct {
	Email, URL string // no URL: the person had an account already
	Expires    time.Time
}

// MemberForm is what was typed.
type MemberForm struct{ Email, Role string }

// Title implements Page.
func (p Members) Title() string {
	return Plural(len(p.Rows), "person", "people") + " in " + p.Organisation
}

// Fragment implements Live.
func (p Members) Fragment(name string) templ.Component {
	switch name {
	case "members":
		return p.list()
	case "title":
		return p.heading()
	}
	return nil
}

// Roles says what each role may do, for the page and its form.
var Roles = []Choice{
	{"owner", "Owner: everything"},
	{"admin", "Admin: everything but prices"},
	{"manager", "Manager: costs, prices and usage"},
	{"user", "User: calls models, own keys and usage"},
	{"auditor", "Auditor: sees all, changes nothing"},
}

// ConfirmRemoveMember asks before somebody loses access.
func ConfirmRemoveMember(id, email, organisation string) Confirm {
	return Confirm{
		ID: "remove-" + id, Heading: "Remove " + email + " from " + organisation + "?",
		Consequences: []string{
			"Open sessions lose access to this organisation at once, and the person's keys stop working.",
			"Past usage stays in the reports.",
		},
		Action: "/members/" + id + "/remove", Back: "/members", Button: "Remove " + email,
	}
}

func roleName(role string) string {
	for _, r := range Roles {
		if r.ID == role {
			return r.short()
		}
	}
	return role
}

func (c Choice) short() string {
	for i, r := range c.Name {
		if r == ':' {
			return c.Name[:i]
		}
	}
	return c.Name
}
