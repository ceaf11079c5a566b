package anthropic

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// Model is a model as GET /v1/models tells of it.
type Model struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"` // the epoch: it is not known
	Lifecycle   string `json:"lifecycle"`

	// What a client may expect to be there, and nobody knows.
	MaxInputTokens *int      `json:"max_input_tokens"`
	MaxTokens      *int      `json:"max_tokens"`
	Capabilities   *struct{} `json:"capabilities"`
	Line           *string   `json:"line"`
	DeprecatedAt   *string   `json:"deprecated_at"`
	RetiresAt      *string   `json:"retires_at"`

	State   string `json:"state"`              // Anthropic has no such field
	Reason  string `json:"reason,omitempty"`   // nor this
	AliasOf string `json:"alias_of,omitempty"` // nor this
}

// NewModel returns the model of an id that was made at a time, in seconds.
func NewModel(id string, created int64, state, reason, aliasOf string) Model {
	return Model{
		Type: "model", ID: id, DisplayName: id, CreatedAt: time.Unix(created, 0).UTC().Format(time.RFC3339), Lifecycle: "active", State: state, Reason: reason, AliasOf: aliasOf,
	}
}

// Models is a page of the list.
type Models struct {
	Data    []Model `json:"data"`
	HasMore bool    `json:"has_more"`
	FirstID *string `json:"first_id"` // null for an empty page
	LastID  *string `json:"last_id"`
}

// Page returns the page of the list that a query asks for by limit and after_id or
// before_id. Pages go by the order of ids, so that a model which is gone by the next
// one is still a place to go on from. It refuses a limit that is none.
func Page(all []Model, query url.Values) (*Models, *openai.Error) {
	const usual, most = 20, 1000
	limit := usual
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > most {
			return nil, chat.Invalid("limit", "limit must be a whole number from 1 to 1000.")
		}
	}
	slices.SortFunc(all, func(a, b Model) int { return strings.Compare(a.ID, b.ID) })
	place := func(id string) (int, bool) {
		return slices.BinarySearchFunc(all, id, func(m Model, id string) int { return strings.Compare(m.ID, id) })
	}
	from, to := 0, len(all)
	if id := query.Get("after_id"); id != "" {
		var there bool
		if from, there = place(id); there {
			from++
		}
	}
	if id := query.Get("before_id"); id != "" {
		to, _ = place(id)
	}
	within := all[min(from, to):to]
	page := &Models{Data: within, HasMore: len(within) > limit}
	if page.HasMore {
		if page.Data = within[:limit]; query.Get("before_id") != "" {
			page.Data = within[len(within)-limit:]
		}
	}
	if n := len(page.Data); n > 0 {
		page.FirstID, page.LastID = &page.Data[0].ID, &page.Data[n-1].ID
	}
	return page, nil
}

// Asks reports whether a request comes from a client of this API: all of them
// name the version that they speak, and nobody else does.
func Asks(h http.Header) bool { return len(h["Anthropic-Version"]) > 0 }
