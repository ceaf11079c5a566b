package limit

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// Level is whose limit it is.
type Level string

// The levels, from the narrowest.
const (
	Key          Level = "key"
	Member       Level = "member"
	Organisation Level = "organisation"
)

// Period is what a budget is for: a calendar day or month, in UTC.
type Period string

// The periods.
const (
	Day   Period = "day"
	Month Period = "month"
)

// Around returns the period that t is in.
func (p Period) Around(t time.Time) (start, end time.Time) {
	y, m, d := t.UTC().Date()
	if p == Day {
		start = time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
		return start, start.AddDate(0, 0, 1)
	}
	start = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	return start, start.AddDate(0, 1, 0)
}

// Settings are the limits of one subject. Zero is no limit.
type Settings struct {
	RequestsPerMinute int64
	TokensPerMinute   int64 // of prompts and answers
	Concurrency       int64 // requests in progress
	MaxTokens         int64 // that one request may have generated
	Models            []string
	Budget            money.EUR
	Period            Period // of the budget
}

// IsZero reports whether nothing is limited.
func (s Settings) IsZero() bool {
	return s.RequestsPerMinute == 0 && s.TokensPerMinute == 0 && s.Concurrency == 0 && s.MaxTokens == 0 && len(s.Models) == 0 && s.Budget == 0
}

// Subject is what limits are set for. ID is a key, a user, or the organisation
// itself.
type Subject struct{ Organisation, ID uuid.UUID }

// Gate is where the limits of one subject are held.
type Gate struct {
	Subject
	Settings

	Level Level
	*Meters
}

// Meters are what a subject uses now. They outlive a change of its settings.
type Meters struct {
	Requests, Tokens Rate
	Slots            Slots
	Purse            atomic.Pointer[Purse] // nil without a budget
}

// Gates are those that a request goes through: its key's, its member's and its
// organisation's, or nil where there is none.
type Gates [3]*Gate

// Allows reports whether every gate lets the model pass.
func (g *Gates) Allows(model string) bool { return g.barring(model) == nil }

// barring returns the gate that refuses a model.
func (g *Gates) barring(model string) *Gate {
	for _, gate := range g {
		if gate != nil && len(gate.Models) > 0 && !slices.Contains(gate.Models, model) {
			return gate
		}
	}
	return nil
}

// MaxTokens returns the lowest limit on what one request may have generated,
// and whose it is; 0 without one.
func (g *Gates) MaxTokens() (most int64, level Level) {
	for _, gate := range g {
		if gate != nil && gate.MaxTokens > 0 && (most == 0 || gate.MaxTokens < most) {
			most, level = gate.MaxTokens, gate.Level
		}
	}
	return most, level
}

// What is which of a subject's limits.
type What uint8

// The limits that a request can exceed.
const (
	Requests What = iota + 1
	Tokens
	Concurrency
	Budget
	Models
)

// Refusal says which limit a request exceeds.
type Refusal struct {
	What  What
	Gate  *Gate
	Wait  time.Duration // until it can be tried again
	Never bool          // the request alone is more than the limit
	Purse *Purse        // of a Budget
	Short bool          // this process's part of the budget is too small, the budget may not be
}

// Ask is what a request may use at most.
type Ask struct {
	Model  string
	Tokens int64
	Cost   money.EUR
}

// Ticket is what a request was let in with. Its zero value holds nothing.
type Ticket struct {
	ask  Ask
	held [3]hold
}

// hold is what a ticket has of one gate.
type hold struct {
	gate                    *Gate
	purse                   *Purse
	request, token, running bool
}

// Enter lets a request through all gates, or through none: then it says which
// limit is exceeded.
func (t *Ticket) Enter(gates *Gates, ask Ask, now int64) *Refusal {
	if gate := gates.barring(ask.Model); gate != nil {
		return &Refusal{What: Models, Gate: gate}
	}
	t.ask = ask
	for i, gate := range gates {
		if gate == nil {
			continue
		}
		t.held[i].gate = gate
		if refusal := t.held[i].enter(gate, ask, now); refusal != nil {
			refusal.Gate = gate
			t.undo(now)
			return refusal
		}
	}
	return nil
}

func (h *hold) enter(g *Gate, ask Ask, now int64) *Refusal {
	if g.Concurrency > 0 {
		if !g.Slots.Enter() {
			return &Refusal{What: Concurrency, Wait: time.Second}
		}
		h.running = true
	}
	if g.RequestsPerMinute > 0 {
		wait, ok := g.Requests.Take(1, now)
		if !ok {
			return &Refusal{What: Requests, Wait: wait}
		}
		h.request = true
	}
	if g.TokensPerMinute > 0 {
		if ask.Tokens > g.TokensPerMinute {
			return &Refusal{What: Tokens, Never: true}
		}
		wait, ok := g.Tokens.Take(ask.Tokens, now)
		if !ok {
			return &Refusal{What: Tokens, Wait: wait}
		}
		h.token = true
	}
	if purse := g.Purse.Load(); purse != nil && ask.Cost > 0 {
		if !purse.Hold(ask.Cost) {
			return &Refusal{What: Budget, Purse: purse, Short: purse.Short(ask.Cost)}
		}
		h.purse = purse
	}
	return nil
}

// undo takes back that a request was let in.
func (t *Ticket) undo(now int64) {
	for i := range t.held {
		if h := &t.held[i]; h.request {
			h.gate.Requests.Give(1, now)
		}
	}
	t.Settle(0, 0, now)
	t.Leave()
}

// Settle exchanges what was reserved for what was used. Only the first call
// counts.
func (t *Ticket) Settle(tokens int64, cost money.EUR, now int64) {
	for i := range t.held {
		h := &t.held[i]
		if h.token {
			h.gate.Tokens.Give(t.ask.Tokens-tokens, now)
			h.token = false
		}
		if h.purse != nil {
			h.purse.Settle(t.ask.Cost, cost)
			h.purse = nil
		}
	}
}

// Reserves reports whether there is something to settle.
func (t *Ticket) Reserves() bool {
	for i := range t.held {
		if t.held[i].token || t.held[i].purse != nil {
			return true
		}
	}
	return false
}

// Leave gives the slots back. Only the first call counts.
func (t *Ticket) Leave() {
	for i := range t.held {
		if h := &t.held[i]; h.running {
			h.gate.Slots.Leave()
			h.running = false
		}
	}
}

// Standings returns how the tightest limits on requests and on tokens stand;
// those with a zero Limit are not there.
func (g *Gates) Standings(now int64) (requests, tokens Standing) {
	for _, gate := range g {
		if gate == nil {
			continue
		}
		if n := gate.RequestsPerMinute; n > 0 {
			requests = tighter(requests, gate.Requests.Standing(n, now))
		}
		if n := gate.TokensPerMinute; n > 0 {
			tokens = tighter(tokens, gate.Tokens.Standing(n, now))
		}
	}
	return requests, tokens
}

func tighter(a, b Standing) Standing {
	if a.Limit == 0 || b.Remaining < a.Remaining {
		return b
	}
	return a
}
