package responses

import (
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// Count translates one exchange of POST /v1/responses/input_tokens, which becomes
// one of vLLM's /tokenize. Its zero value is ready.
type Count struct{ asked Responses }

// Request returns the body for /tokenize.
func (c *Count) Request(client []byte) ([]byte, *openai.Error) {
	out, refused := c.asked.read(client)
	if refused != nil {
		return nil, refused
	}
	return out.Counted(), nil
}

// Answer returns the count alone.
func (*Count) Answer(engine []byte) ([]byte, error) {
	n, err := chat.ParseCount(engine)
	if err != nil {
		return nil, err //nolint:wrapcheck // says enough
	}
	return chat.Encode(struct {
		Object string `json:"object"`
		Input  int64  `json:"input_tokens"`
	}{"response.input_tokens", n}), nil
}

// Events is never asked for: counts are not streamed.
func (*Count) Events([]byte) ([]byte, error) { return nil, chat.ErrNoAnswer }

// Error returns nothing, for the same reason.
func (*Count) Error(*openai.Error) []byte { return nil }

// Rename has an error about the engine's request name the client's fields.
func (c *Count) Rename(e *openai.Error) { c.asked.Rename(e) }
