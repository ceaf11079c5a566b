package gateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// bytesPerToken is what a prompt, and an answer that is no stream, is estimated
// with when the engine did not count it.
const bytesPerToken = 4

// open writes the open record, without which nothing is sent on. The price is
// frozen here.
func (x *exchange) open(way *route, to *target) *openai.Error {
	x.record = spool.Record{
		Status: spool.Opened, RequestID: x.id, StartedAt: x.started, Organisation: x.caller.Organisation, KeyID: x.caller.KeyID,
		UserID: x.caller.UserID, UpstreamID: to.id, Endpoint: to.endpoint, Streamed: x.head.Stream, Path: x.r.URL.Path,
	}
	x.priceAs(way)
	if err := x.service.spool.Append(&x.record); err != nil {
		return unmetered(err)
	}
	return nil
}

// priceAs notes which model answers, what the client asked for if that is
// another name, and what its tokens cost.
func (x *exchange) priceAs(way *route) {
	r := &x.record
	if x.words != nil {
		r.Asked = x.words.asked
	}
	if r.Asked == "" && way != x.wanted {
		r.Asked = x.wanted.model
	}
	r.Model, r.PriceID, r.InputPrice, r.OutputPrice = way.model, way.price.ID, way.price.Input, way.price.Output
}

// sentTo notes that another server has the request now.
func (x *exchange) sentTo(to *target) {
	x.record.UpstreamID, x.record.Endpoint, x.record.Retried = to.id, to.endpoint, true
	x.waited += time.Since(x.asked)
}

// count notes what was used: what the engine says or else what came by, with
// an estimate of the prompt once anything did.
func (x *exchange) count(u openai.Usage, known bool, deltas int64) {
	switch r := &x.record; {
	case known:
		r.Source, r.PromptTokens, r.CompletionTokens, r.CachedTokens = spool.Engine, u.Prompt, u.Completion, u.Cached
	case deltas > 0:
		r.Source, r.CompletionTokens = spool.Counted, deltas
		r.PromptTokens = tokens(x.head.PromptBytes)
	}
}

// countWhole estimates what a whole answer used whose engine did not say it:
// one that generates or embeds. The others have nothing to count.
func (x *exchange) countWhole(answer []byte) {
	switch x.kind { //nolint:exhaustive // the rest has nothing to count
	case openai.Chat, openai.Completions, openai.Embeddings:
		if size, ok := openai.Written(answer); ok {
			r := &x.record
			r.Source, r.PromptTokens, r.CompletionTokens = spool.Counted, tokens(x.head.PromptBytes), tokens(size)
		}
	}
}

func tokens(size int) int64 { return int64(size+bytesPerToken-1) / bytesPerToken }

// end writes the final record, once. It comes before the last byte of a whole
// answer.
func (x *exchange) end(status spool.Status, httpStatus int, code string) error {
	if x.ended {
		return nil
	}
	r := &x.record
	r.Status, r.HTTPStatus, r.Error, r.Duration = status, httpStatus, code, time.Since(x.started)
	if err := x.service.spool.Append(r); err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	x.ended = true
	x.settle()
	if status == spool.Completed {
		x.to.replica.Moved(x.started.Add(r.Duration).Sub(x.service.origin))
		x.to.replica.Finished(r.Duration, r.CompletionTokens)
	}
	return nil
}

// tally counts the request once it has ended. Nothing waits for it: the answer
// is on its way.
func (x *exchange) tally() {
	if x.ended {
		x.service.metrics.ended(&x.record, x.kind, x.overhead())
	}
}

// overhead returns what of the request's time was ours: from when its body is
// there until it is sent on, without what it waited for, and of an answer that is
// no stream from when that is there until the final record is written, which is
// before the client is sent it. It is -1 if the server never answered.
func (x *exchange) overhead() time.Duration {
	switch r := &x.record; {
	case x.heard.IsZero() || x.asked.IsZero():
		return -1
	case r.Streamed:
		return x.asked.Sub(x.started) - x.waited
	default:
		return r.Duration - x.heard.Sub(x.asked) - x.waited
	}
}

// unmetered says that a request cannot be recorded, and so not be served.
func unmetered(err error) *openai.Error {
	e := &openai.Error{
		Status: http.StatusServiceUnavailable, Type: openai.ServerError, Code: "metering_unavailable", Retry: true, RetryAfter: retrySoon,
		Message: "Usage cannot be recorded at the moment, so no request is served. Try again later.",
	}
	if f := fault.As(err); f != nil {
		e.Message = strings.TrimSpace(f.Text + " " + f.Fix)
	}
	return e
}
