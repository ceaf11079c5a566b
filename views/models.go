package views

import (
	"strconv"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// ModelRow is a model in the catalogue.
type ModelRow struct {
	ID, Name  string
	Title     string
	Kind      string // chat, embedding
	VRAM      int
	Context   int
	Input     money.EUR // per million tokens
	Output    money.EUR
	Priced    bool
	Ready     int // replicas and endpoints that serve it
	Simulated bool
	Own       bool // added by the organisation
	Fallback  []string
}

// Models is the catalogue.
type Models struct {
	Rows    []ModelRow
	Aliases []AliasRow
	Form    AliasRow // as typed
	Refusal Refusal
	May     May
}

func (p Models) example() string {
	if len(p.Rows) == 0 {
		return ""
	}
	return p.Rows[0].Name
}

// Title implements Page.
func (p Models) Title() string {
	serving := 0
	for _, m := range p.Rows {
		if m.Ready > 0 {
			serving++
		}
	}
	return Plural(len(p.Rows), "model", "models") + ", " + Count(serving) + " serving"
}

// Price is the form for a model's price.
type Price struct {
	ID, Name      string
	Input, Output string // as typed
	From          string // "the platform's price list" or "this organisation"
	Refusal       Refusal
}

// Title implements Page.
func (p Price) Title() string { return "Price of " + p.Name }

// Fallback is the form for the models that answer instead of one.
type Fallback struct {
	ID, Name string
	Models   string // as typed
	Others   []string
	Refusal  Refusal
}

// Title implements Page.
func (p Fallback) Title() string { return "Fallback of " + p.Name }

func (m ModelRow) needs() string {
	if m.VRAM <= 0 {
		return "–"
	}
	return strconv.Itoa(m.VRAM) + " GB"
}

func (m ModelRow) context() string {
	if m.Context <= 0 {
		return "–"
	}
	return strings.TrimSuffix(contextWords(m.Context), " context")
}
