package gateway

import (
	"bytes"
	"errors"
	"net/http"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// words is what is between a client and an engine that do not speak the same.
type words struct {
	dialect dialect         // nil: they differ in the model's name alone
	spoken  bool            // the dialect has translated the request
	rename  *openai.Renamer // to the name that the client knows the model by; nil if that is its own
	asked   string          // the alias that the client asked for; empty if none
	status  func(int) int   // what an error's status becomes; nil for the same
}

// What the translation of a body takes, about: a multiple of its size, and so
// many bytes for each element of its lists, for an empty one costs as much as any.
const (
	decoded = 4
	each    = 512
)

// errNoRoom is returned when there is no memory for what a translation keeps.
var errNoRoom = errors.New("no memory is left for the answer")

// keeper is a dialect that holds on to parts of the request and of the answer,
// of about so many bytes.
type keeper interface{ Keeps() int64 }

// translate returns the request as the engine is to be asked.
func (x *exchange) translate(body []byte) ([]byte, *openai.Error) {
	if _, refused := openai.ParseHead(openai.Foreign, body); refused != nil {
		return nil, refused
	}
	takes := decoded*int64(len(body)) + each*int64(bytes.Count(body, []byte(","))) // elements are as many as commas, or fewer
	if takes > x.service.limits.held {
		return nil, &openai.Error{
			Status: http.StatusRequestEntityTooLarge, Type: openai.InvalidRequest, Code: "request_too_large",
			Message: "The body has too many pieces to be translated. Send fewer messages and shorter lists.",
		}
	}
	if !x.hold(takes) {
		return nil, busy()
	}
	body, refused := x.words.dialect.Request(body)
	x.words.spoken = refused == nil
	return body, refused
}

// hear returns events of the engine as the client is to have them.
func (x *exchange) hear(events []byte) ([]byte, error) {
	w := x.words
	if w == nil || len(events) == 0 {
		return events, nil
	}
	if w.rename != nil {
		events = w.rename.Events(events)
	}
	if w.dialect != nil {
		told, err := w.dialect.Events(events)
		if k, keeps := w.dialect.(keeper); err == nil && keeps && !x.hold(max(0, k.Keeps()-x.held)) {
			err = errNoRoom
		}
		return told, err //nolint:wrapcheck // it ends here
	}
	return events, nil
}

// hearAnswer does the same with a whole answer.
func (x *exchange) hearAnswer(answer []byte) ([]byte, error) {
	w := x.words
	if w == nil {
		return answer, nil
	}
	if w.rename != nil {
		answer = w.rename.Answer(answer)
	}
	if w.dialect != nil {
		return w.dialect.Answer(answer) //nolint:wrapcheck // only its being there counts
	}
	return answer, nil
}

// ending returns the event that tells the client of an error in a stream.
func (x *exchange) ending(e *openai.Error) []byte {
	if x.words != nil && x.words.dialect != nil {
		return x.words.dialect.Error(e)
	}
	return e.Event()
}

// ownFields has an error that is about the translated request name the client's
// own fields.
func (x *exchange) ownFields(e *openai.Error) {
	if x.words != nil && x.words.spoken {
		x.words.dialect.Rename(e)
	}
}

// status returns the status that the client is sent for an error's.
func (x *exchange) status(openAIs int) int {
	if x.words != nil && x.words.status != nil {
		return x.words.status(openAIs)
	}
	return openAIs
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
