package views

import "net/url"

// AliasRow is another name for a model, in the list or as typed.
type AliasRow struct{ Name, Model string }

func (a AliasRow) removal() string { return "/aliases/" + url.PathEscape(a.Name) + "/remove" }

// ConfirmRemoveAlias asks before an alias is removed.
func ConfirmRemoveAlias(name, model string) Confirm {
	return Confirm{
		Heading: "Remove the name " + name + "?",
		Consequences: []string{
			"Requests for it get an error that names the models there are.",
			model + " itself is served as before.",
		},
		Action: AliasRow{Name: name}.removal(), Back: "/models", Button: "Remove " + name,
	}
}
