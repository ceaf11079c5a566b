package views

import "github.com/inventiv-it-for-ai/inventiv/app/money"

// Limits is the form for what a key, a member or the organisation may use.
type Limits struct {
	Path       string // where the form is sent
	Back, List string // the page it belongs to: its path and name
	Whose      string // "the key marketing-bot"
	Key        bool   // it has networks as well
	Form       LimitForm
	Budget     money.EUR // that is set; 0: none
	Spent      money.EUR // of it, in this period
	Reserved   money.EUR
	Refusal    Refusal
}

// LimitForm is what was typed.
type LimitForm struct {
	Requests, Tokens, Concurrency, MaxTokens, Models, Budget, Period, Networks string
}

// Title implements Page.
func (p Limits) Title() string { return "Limits of " + p.Whose }

var periods = []Choice{{"month", "each month"}, {"day", "each day"}}
