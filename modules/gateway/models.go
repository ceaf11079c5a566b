package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/anthropic"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// modelEntry is a model as /v1/models lists it.
type modelEntry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	State   string `json:"state"`              // ready, set_aside or sleeping; OpenAI has no such field
	Reason  string `json:"reason,omitempty"`   // nor this: why all of its replicas are set aside
	AliasOf string `json:"alias_of,omitempty"` // nor this: the model that answers
}

// entries returns the route by its own name and then by others.
func (r *route) entries() []modelEntry {
	own := modelEntry{ID: r.model, Object: "model", OwnedBy: "inventiv"}
	own.State, own.Reason = r.readiness()
	list := []modelEntry{own}
	for _, a := range r.aliases {
		other := own
		other.ID, other.AliasOf = a.name, r.model
		list = append(list, other)
	}
	return list
}

// listModels answers GET /v1/models, or one of them if id is not empty, in the
// shape that the client's SDK reads.
func (s *Service) listModels(w http.ResponseWriter, r *http.Request, c Caller, id, requestID string) {
	has := s.shownTo(c, s.table.Load())
	all := make([]modelEntry, 0, len(has))
	for _, r := range has {
		all = append(all, r.entries()...)
	}
	if id != "" {
		i := slices.IndexFunc(all, func(e modelEntry) bool { return e.ID == id })
		if i < 0 {
			Refuse(w, r, noModel(has, id), requestID)
			return
		}
		all = all[i : i+1]
	}
	if anthropic.Asks(r.Header) {
		w.Header().Set("Request-Id", requestID)
		listForAnthropic(w, r, all, id != "", requestID)
		return
	}
	if id != "" {
		writeJSON(w, requestID, all[0])
		return
	}
	writeJSON(w, requestID, map[string]any{"object": "list", "data": all})
}

func listForAnthropic(w http.ResponseWriter, r *http.Request, entries []modelEntry, one bool, requestID string) {
	all := make([]anthropic.Model, len(entries))
	for i, e := range entries {
		all[i] = anthropic.NewModel(e.ID, e.Created, e.State, e.Reason, e.AliasOf)
	}
	if one {
		writeJSON(w, requestID, all[0])
		return
	}
	page, refused := anthropic.Page(all, r.URL.Query())
	if refused != nil {
		Refuse(w, r, refused, requestID)
		return
	}
	writeJSON(w, requestID, page)
}

// noModel says that a caller has no such model, and which it has.
func noModel(routes []*route, model string) *openai.Error {
	const shown = 20
	var names []string
	for _, r := range routes {
		for _, e := range r.entries() {
			names = append(names, e.ID)
		}
	}
	if len(names) > shown {
		names = append(names[:shown], "…")
	}
	has := "No model is served at the moment."
	if len(names) > 0 {
		has = "There are: " + strings.Join(names, ", ") + "."
	}
	return &openai.Error{
		Status: http.StatusNotFound, Type: openai.InvalidRequest, Code: "model_not_found", Param: "model",
		Message: fmt.Sprintf("The model %q does not exist here. %s", model, has),
	}
}

func writeJSON(w http.ResponseWriter, requestID string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // plain values always marshal
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Request-Id", requestID)
	_, _ = w.Write(body) // a client that has left needs no answer
}
