package chat

import "encoding/json"

// Counted returns the body with which vLLM's /tokenize is asked how many tokens
// the prompt of the request has.
func (r *Request) Counted() []byte {
	yes := true
	return Encode(Request{Model: r.Model, Messages: r.Messages, Tools: r.Tools, AddGenerationPrompt: &yes})
}

// ParseCount reads the count in the answer of vLLM's /tokenize.
func ParseCount(engine []byte) (int64, error) {
	var a struct {
		Count *int64 `json:"count"`
	}
	if err := json.Unmarshal(engine, &a); err != nil || a.Count == nil {
		return 0, ErrNoAnswer
	}
	return *a.Count, nil
}
