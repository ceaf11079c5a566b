package anthropic

import (
	"encoding/json"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// Count translates one exchange of POST /v1/messages/count_tokens, which becomes
// one of vLLM's /tokenize. Its zero value is ready.
type Count struct{ names names }

// Request returns the body for /tokenize.
func (c *Count) Request(client []byte) ([]byte, *openai.Error) {
	var r request
	if refused := chat.Decode(client, &r); refused != nil {
		return nil, refused
	}
	out, refused := r.conversation()
	if refused != nil {
		return nil, refused
	}
	c.names.from = out.Sources()
	yes := true
	return chat.Encode(chat.Request{Model: out.Model, Messages: out.Messages, Tools: out.Tools, AddGenerationPrompt: &yes}), nil
}

// Answer returns the count alone.
func (*Count) Answer(engine []byte) ([]byte, error) {
	var a struct {
		Count *int64 `json:"count"`
	}
	if err := json.Unmarshal(engine, &a); err != nil || a.Count == nil {
		return nil, chat.ErrNoAnswer
	}
	return chat.Encode(map[string]int64{"input_tokens": *a.Count}), nil
}

// Events is never asked for: counts are not streamed.
func (*Count) Events([]byte) ([]byte, error) { return nil, chat.ErrNoAnswer }

// Error returns nothing, for the same reason.
func (*Count) Error(*openai.Error) []byte { return nil }

// Rename has an error about the engine's request name the client's fields.
func (c *Count) Rename(e *openai.Error) { chat.Rename(e, c.names.name) }
