package gateway

import (
	"net/http"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// decoded is how many times the size of a body its translation takes, about.
const decoded = 4

// translate returns the request as the engine is to be asked.
func (x *exchange) translate(body []byte) ([]byte, *openai.Error) {
	if _, refused := openai.ParseHead(openai.Foreign, body); refused != nil {
		return nil, refused
	}
	if !x.hold(decoded * int64(len(body))) {
		return nil, busy()
	}
	return x.speak.Request(body)
}

// hear returns events of the engine as the client is to have them.
func (x *exchange) hear(events []byte) ([]byte, error) {
	if x.rename != nil {
		events = x.rename.Events(events)
	}
	if x.speak != nil && len(events) > 0 {
		return x.speak.Events(events) //nolint:wrapcheck // only its being there counts
	}
	return events, nil
}

// hearAnswer does the same with a whole answer.
func (x *exchange) hearAnswer(answer []byte) ([]byte, error) {
	if x.rename != nil {
		answer = x.rename.Answer(answer)
	}
	if x.speak != nil {
		return x.speak.Answer(answer) //nolint:wrapcheck // only its being there counts
	}
	return answer, nil
}

// ending returns the event that tells the client of an error in a stream.
func (x *exchange) ending(e *openai.Error) []byte {
	if x.speak != nil {
		return x.speak.Error(e)
	}
	return e.Event()
}

// unserved says so where an engine has no such path: of those beside chat,
// completions and embeddings every engine has others.
func (x *exchange) unserved(e *openai.Error) *openai.Error {
	if x.kind < openai.Rerank || e.Status != http.StatusNotFound && e.Status != http.StatusMethodNotAllowed {
		return e
	}
	return &openai.Error{
		Status: http.StatusNotFound, Type: openai.InvalidRequest, Code: "not_served_by_engine",
		Message: "The model's server does not serve this: it answered “" + e.Message + "” to " + enginePath("/v1", x.kind) + ".",
	}
}

// status returns the status that the client is sent with an error.
func (x *exchange) status(e *openai.Error) int {
	if x.at.status != nil {
		return x.at.status(e.Status)
	}
	return e.Status
}
