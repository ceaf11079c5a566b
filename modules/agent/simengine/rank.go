package simengine

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// alike returns which part of the first text's words the second one has, from 0
// to 1: the same two texts are always as much alike.
func alike(a, b string) float64 {
	wanted, there := strings.Fields(strings.ToLower(a)), strings.Fields(strings.ToLower(b))
	met := 0
	for _, word := range wanted {
		if slices.Contains(there, word) {
			met++
		}
	}
	return float64(met) / float64(max(len(wanted), 1))
}

// ranked is a document in its place.
type ranked struct {
	Index    int            `json:"index"`
	Document map[string]any `json:"document"`
	Score    float64        `json:"relevance_score"`
}

// rerank puts documents in order.
func (e *Engine) rerank(w http.ResponseWriter, q *request, prompt int) {
	var list []ranked
	query := strings.Join(words(q.Query), " ")
	for i, text := range words(q.Documents) {
		list = append(list, ranked{i, map[string]any{"text": text, "multi_modal": nil}, alike(query, text)})
	}
	slices.SortStableFunc(list, func(a, b ranked) int { return cmp.Compare(b.Score, a.Score) })
	if q.TopN > 0 && q.TopN < len(list) {
		list = list[:q.TopN]
	}
	answer(w, map[string]any{
		"id": "sim-" + uuid.NewString(), "model": e.model, "usage": map[string]any{"prompt_tokens": prompt, "total_tokens": prompt}, "results": list,
	})
}

// score compares texts: one with each of many, or each with its counterpart.
func (e *Engine) score(w http.ResponseWriter, q *request, prompt int) {
	one, many := words(q.Text1), words(q.Text2)
	if len(one) != 1 && len(one) != len(many) || len(many) == 0 {
		refuse(w, http.StatusBadRequest, "BadRequestError", "text_1", "There must be one text_1, or as many as there are of text_2.")
		return
	}
	data := make([]any, len(many))
	for i, text := range many {
		data[i] = map[string]any{"index": i, "object": "score", "score": alike(one[min(i, len(one)-1)], text)}
	}
	answer(w, map[string]any{
		"id": "sim-" + uuid.NewString(), "object": "list", "created": time.Now().Unix(), "model": e.model, "data": data,
		"usage": map[string]any{"prompt_tokens": prompt, "total_tokens": prompt, "completion_tokens": 0, "prompt_tokens_details": json.RawMessage("null")},
	})
}
