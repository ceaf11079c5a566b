package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// exchange is one request on its way through the gateway.
type exchange struct {
	service *Service
	w       http.ResponseWriter
	control *http.ResponseController
	r       *http.Request
	caller  Caller
	id      uuid.UUID
	name    string // id as text
	started time.Time
	asked   time.Time     // when the request was sent on, the last time, or could be after a wait
	waited  time.Duration // for the client's body, a place, a model to wake, a server that did not take the request
	heard   time.Time     // when the answer was whole, or a stream's first token came
	words   *words        // nil: client and engine speak the same

	held   int64 // bytes of memory set aside
	spaces [3]*[]byte
	head   openai.Head
	client []byte // the body as the client sent it
	body   openai.Body
	wanted *route // to the model that was asked for
	place  *queue // that has room for the request; nil: none yet
	let    *pass  // through the limits; nil without any
	record spool.Record
	to     *target     // that has the request, or had it last
	kind   openai.Kind // what the engine is asked
	spaced uint8       // how many of spaces there are
	headed bool        // the client was sent a stream's head, while the request waited
	begun  bool        // the client was sent some of the answer
	ended  bool        // the final record is written
	again  bool        // the server did not take the request: another one may be asked
	theirs bool        // the error is the server's own

	noted   time.Time // of the last checkpoint; zero: none yet
	notedAt int64     // deltas at that time
}

// serve carries the request out. An error that it returns is still to be sent.
func (x *exchange) serve() *openai.Error {
	defer x.release()
	defer x.tally()
	defer x.leave()
	way, to, refused := x.accept()
	defer x.depart()
	if refused != nil {
		return refused
	}
	x.service.metrics.inFlight.Inc()
	defer x.service.metrics.inFlight.Dec()
	refused = x.attempt(to)
	if refused != nil && x.mayRetry() {
		other := x.pick(way, to)
		if other == nil {
			other = x.fallBack(way)
		}
		if other != nil {
			x.service.metrics.retries.Inc()
			x.sentTo(other)
			refused = x.attempt(other)
		}
	}
	if refused == nil {
		return nil
	}
	status := x.status(refused.Status)
	if x.headed {
		status = http.StatusOK
	}
	if err := x.end(spool.Interrupted, status, x.code(refused)); err != nil {
		x.service.log.ErrorContext(x.r.Context(), "final usage record not written", "request", x.id, "err", err)
	}
	if x.r.Context().Err() != nil {
		return left()
	}
	return refused
}

// accept reads the request, finds who is to answer it, and writes its open
// record. It is apart from serve because its memory need not wait with it.
func (x *exchange) accept() (*route, *target, *openai.Error) {
	body, refused := x.readBody()
	if refused != nil {
		return nil, nil, refused
	}
	if x.words != nil {
		if body, refused = x.translate(body); refused != nil {
			return nil, nil, refused
		}
	}
	if x.head, refused = openai.ParseHead(x.kind, body); refused != nil {
		return nil, nil, refused
	}
	t := x.service.table.Load()
	x.client, x.wanted = body, t.routes[routeKey{x.caller.Organisation, string(x.head.Model)}]
	if x.wanted == nil {
		x.wanted = x.aliased(t)
	}
	if x.wanted == nil {
		return nil, nil, noModel(x.service.shownTo(x.caller, t), string(x.head.Model))
	}
	if refused := x.admit(); refused != nil {
		return nil, nil, refused
	}
	way, refused := x.wait(x.whoAnswers())
	if refused != nil {
		return nil, nil, refused
	}
	to := x.pick(way, nil)
	if to == nil {
		return nil, nil, sleeps(x.wanted)
	}
	x.body = x.head.Body(body, x.nameFor(way))
	return way, to, x.open(way, to)
}

// moment is when the request came, or a model had woken for it, as package
// balance counts.
func (x *exchange) moment() time.Duration {
	if !x.asked.IsZero() {
		return x.asked.Sub(x.service.origin)
	}
	return x.started.Sub(x.service.origin)
}

// mayRetry reports whether another server may be asked: the first one did not
// take the request, and the client is there and was sent nothing.
func (x *exchange) mayRetry() bool {
	return x.again && !x.begun && x.r.Context().Err() == nil
}

// code returns the code of an error for records and metrics; of a server's own
// errors there is no end.
func (x *exchange) code(refused *openai.Error) string {
	if x.theirs {
		return "upstream_error"
	}
	return refused.Code
}

func sleeps(way *route) *openai.Error {
	why := "Nothing serves it at the moment."
	if way.sleeping.State != "" {
		why = "Its state is " + way.sleeping.State + "."
	}
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Type: openai.ServerError, Code: "no_ready_replica", Param: "model", Retry: true,
		RetryAfter: way.readyIn(10 * time.Second), Message: fmt.Sprintf("The model %q has no replica that is ready. %s Try again later.", way.model, why),
	}
}

// maxRefusal is how much is read of an answer that is an error.
const maxRefusal = 64 << 10

const (
	codeUnreachable = "upstream_unreachable"
	codeBadUpstream = "bad_upstream"
	codeLost        = "upstream_lost"
	codeTimeout     = "upstream_timeout"
	codeClientGone  = "client_gone"
)

// attempt sends the request to one server and relays its answer. An error that
// it returns is still to be sent.
func (x *exchange) attempt(to *target) *openai.Error {
	x.again, x.theirs = false, false
	x.to = to
	to.replica.Begin(x.head.Stream)
	defer to.replica.End(x.head.Stream)
	fields := [3]upstream.Field{{Name: "X-Request-Id", Value: x.name}}
	sent := 1
	for _, name := range [...]string{"Traceparent", "Tracestate"} {
		if trace := x.r.Header[name]; len(trace) == 1 {
			fields[sent] = upstream.Field{Name: name, Value: trace[0]}
			sent++
		}
	}
	req := upstream.Request{Head: to.heads[x.kind], Fields: fields[:sent], Body: x.body.Parts(), Patience: x.service.limits.firstByte}
	x.asked = time.Now()
	res, err := to.server.Do(x.r.Context(), &req)
	if err != nil {
		return x.failed(err, true)
	}
	defer res.Close()
	if res.Status < http.StatusInternalServerError {
		x.well()
	}
	if !x.head.Stream { // a stream may wait for its first token yet
		res.SetPatience(x.service.limits.gap)
	}
	switch {
	case res.Status >= http.StatusBadRequest:
		text, err := io.ReadAll(io.LimitReader(res, maxRefusal))
		if err != nil && x.r.Context().Err() != nil {
			return x.failed(err, false)
		}
		return x.refused(openai.UpstreamError(res.Status, res.RetryAfter, text))
	case res.Status != http.StatusOK:
		return badUpstream(fmt.Sprintf("with status %d", res.Status))
	case x.head.Stream:
		return x.relay(res)
	}
	return x.answer(res)
}

// refused takes up an error that the server has answered with.
func (x *exchange) refused(e *openai.Error) *openai.Error {
	x.theirs = true
	x.again = e.Status == http.StatusServiceUnavailable
	return x.unserved(e)
}

// failed says why a server gave no answer, or, once it has begun one, no more
// of it.
func (x *exchange) failed(err error, before bool) *openai.Error {
	e := &openai.Error{Status: http.StatusBadGateway, Type: openai.ServerError, Retry: true}
	switch {
	case x.r.Context().Err() != nil:
		e.Status, e.Code, e.Message = 0, codeClientGone, "The client has left."
	case errors.Is(err, upstream.ErrSilent):
		x.ill(balance.Stalled)
		e.Status, e.Code = http.StatusGatewayTimeout, codeTimeout
		if e.Message = "The model's server fell silent in the middle of its answer."; before {
			e.Message = "The model's server did not begin to answer in time."
		}
	case errors.Is(err, upstream.ErrMalformed):
		return badUpstream("with something that is not HTTP")
	case fault.As(err) != nil: // the address may not be dialled
		e.Code, e.Message, e.Retry = codeBadUpstream, "The model's server is at an address that requests may not be sent to.", false
	case before:
		x.ill(balance.Connection)
		x.again = true
		e.Status, e.RetryAfter = http.StatusServiceUnavailable, retrySoon
		e.Code, e.Message = codeUnreachable, "The model's server cannot be reached. Try again."
	default:
		x.ill(balance.Connection)
		return lost()
	}
	return e
}

func badUpstream(how string) *openai.Error {
	return &openai.Error{
		Status: http.StatusBadGateway, Type: openai.ServerError, Code: codeBadUpstream, Retry: true,
		Message: "The model's server answered " + how + ", which is no answer to this request.",
	}
}

func lost() *openai.Error {
	return &openai.Error{
		Status: http.StatusBadGateway, Type: openai.ServerError, Code: codeLost, Retry: true,
		Message: "The model's server broke off its answer. Try again.",
	}
}
