package views

import (
	"slices"
	"strconv"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// Deploy is the form that starts a deployment: model, machine, review, on one
// page. Without a script its "Show machines" button fetches the page anew with
// the choices so far; with one, every change does.
type Deploy struct {
	Models   []ModelChoice
	Model    string // the chosen one's id; empty at first
	Offers   []OfferChoice
	First    string   // the chosen offer
	Then     []string // offers to fall back to
	Name     string
	Min, Max int
	Idle     int // minutes without a request, with a minimum of 0
	Needs    int // GB of GPU memory the model needs
	Refusal  Refusal
	May      May
}

// ModelChoice is a model that can be deployed.
type ModelChoice struct {
	ID, Name  string
	VRAM      int // GB
	Context   int // tokens
	Simulated bool
	Serving   int // replicas that serve it already
}

// OfferChoice is a machine for the chosen model.
type OfferChoice struct {
	ID       string // provider/zone/type
	Type     string
	Where    string // "Scaleway, fr-par-2"
	GPU      string // "1 × L40S"
	VRAM     int    // GB of all its GPUs
	PerHour  money.EUR
	PerMonth money.EUR
	Stock    string
	Fits     bool
	Why      string // it does not
}

// Title implements Page.
func (p Deploy) Title() string {
	if m := p.model(); m != nil {
		return "Deploy " + m.Name
	}
	return "Deploy a model"
}

func (p Deploy) model() *ModelChoice {
	for i := range p.Models {
		if p.Models[i].ID == p.Model {
			return &p.Models[i]
		}
	}
	return nil
}

func (p Deploy) first() *OfferChoice {
	for i := range p.Offers {
		if p.Offers[i].ID == p.First {
			return &p.Offers[i]
		}
	}
	return nil
}

func (p Deploy) isThen(id string) bool {
	return id != p.First && slices.Contains(p.Then, id)
}

// fitting counts the offers that can hold the model.
func (p Deploy) fitting() int {
	n := 0
	for _, o := range p.Offers {
		if o.Fits {
			n++
		}
	}
	return n
}

func (p Deploy) times(e money.EUR, n int) money.EUR { return e * money.EUR(n) }

// command is the same wish on the command line.
func (p Deploy) command() string {
	m, o := p.model(), p.first()
	if m == nil || o == nil {
		return ""
	}
	words := []string{"inventiv deployments create", p.Name, "--model", m.Name, "--offer", o.ID}
	for _, t := range p.Then {
		if t != p.First {
			words = append(words, "--offer", t)
		}
	}
	words = append(words, "--min", strconv.Itoa(p.Min), "--max", strconv.Itoa(p.Max))
	if p.Min == 0 {
		words = append(words, "--idle-minutes", strconv.Itoa(p.Idle))
	}
	return strings.Join(words, " ")
}

// fitShare is how much of a machine's GPU memory the model takes, in percent.
func (p Deploy) fitShare(o OfferChoice) int {
	if o.VRAM <= 0 {
		return 100
	}
	return min(100, p.Needs*100/o.VRAM)
}

// contextWords writes a context length: "16k tokens".
func contextWords(n int) string {
	if n <= 0 {
		return ""
	}
	if n%1024 == 0 {
		return strconv.Itoa(n/1024) + "k context"
	}
	return Count(n) + " tokens of context"
}

// about describes a model under its name.
func (m ModelChoice) about() string {
	var parts []string
	if m.Simulated {
		parts = append(parts, "simulator")
	} else if m.VRAM > 0 {
		parts = append(parts, strconv.Itoa(m.VRAM)+" GB of GPU memory")
	}
	if c := contextWords(m.Context); c != "" {
		parts = append(parts, c)
	}
	if m.Serving > 0 {
		parts = append(parts, "serving")
	}
	return strings.Join(parts, " · ")
}
