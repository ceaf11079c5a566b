package simengine

import (
	"encoding/json"
	"slices"
	"strings"
)

// request is what the simulator reads of a request's body.
type request struct {
	Model         string          `json:"model"`
	Messages      []message       `json:"messages"`
	Prompt        json.RawMessage `json:"prompt"`
	Input         json.RawMessage `json:"input"`
	Stream        bool            `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	N                   int             `json:"n"`
	Tools               []tool          `json:"tools"`
	ToolChoice          json.RawMessage `json:"tool_choice"`
	ResponseFormat      struct {
		Type       string `json:"type"`
		JSONSchema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
	ReasoningEffort string          `json:"reasoning_effort"`
	Query           json.RawMessage `json:"query"`
	Documents       json.RawMessage `json:"documents"`
	TopN            int             `json:"top_n"`
	Text1           json.RawMessage `json:"text_1"`
	Text2           json.RawMessage `json:"text_2"`
	Tokens          []uint32        `json:"tokens"`
	TokenStrings    bool            `json:"return_token_strs"`
	Stop            json.RawMessage `json:"stop"`
	EncodingFormat  string          `json:"encoding_format"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// words returns the text of a JSON string, or those of a list of them, of objects
// that have a text, as parts of messages and documents do, and of lists of tokens;
// a list of tokens alone is one text.
func words(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var ids []uint32
	if json.Unmarshal(raw, &ids) == nil && len(ids) > 0 {
		return []string{textOf(ids)}
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var many []string
	for _, each := range list {
		var text string
		ids = nil
		var part struct {
			Text string `json:"text"`
		}
		switch {
		case json.Unmarshal(each, &text) == nil:
			many = append(many, text)
		case json.Unmarshal(each, &ids) == nil:
			many = append(many, textOf(ids))
		case json.Unmarshal(each, &part) == nil:
			many = append(many, part.Text)
		}
	}
	return many
}

// prompt returns the text that was asked, and its length in simulated tokens:
// one for every four bytes, as English has on average.
func (q *request) prompt(k kind) (asked string, tokens int) {
	var all []string
	switch k {
	case chat:
		for _, m := range q.Messages {
			all = append(all, words(m.Content)...)
			if m.Role == "user" {
				asked = strings.Join(words(m.Content), " ")
			}
		}
	case completion:
		all = words(q.Prompt)
		asked = strings.Join(all, " ")
	case embedding:
		all = words(q.Input)
	case rerank:
		all = slices.Concat(words(q.Query), words(q.Documents))
	case score:
		all = slices.Concat(words(q.Text1), words(q.Text2))
	case tokenize:
		if all = words(q.Prompt); len(q.Messages) > 0 {
			return q.prompt(chat)
		}
	case detokenize:
		return "", len(q.Tokens)
	}
	for _, s := range all {
		tokens += len(s)/4 + 1
	}
	return asked, tokens
}
