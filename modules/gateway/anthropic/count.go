package anthropic

import (
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
	return out.Counted(), nil
}

// Answer returns the count alone.
func (*Count) Answer(engine []byte) ([]byte, error) {
	n, err := chat.ParseCount(engine)
	if err != nil {
		return nil, err //nolint:wrapcheck // says enough
	}
	return chat.Encode(map[string]int64{"input_tokens": n}), nil
}

// Events is never asked for: counts are not streamed.
func (*Count) Events([]byte) ([]byte, error) { return nil, chat.ErrNoAnswer }

// Error returns nothing, for the same reason.
func (*Count) Error(*openai.Error) []byte { return nil }

// Rename has an error about the engine's request name the client's fields.
func (c *Count) Rename(e *openai.Error) { chat.Rename(e, c.names.name) }
