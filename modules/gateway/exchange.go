package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// exchange is one request on its way through the gateway.
type exchange struct {
	service *Service
	w       http.ResponseWriter
	r       *http.Request
	caller  Caller
	id      uuid.UUID
	started time.Time
	kind    openai.Kind

	held   int64 // bytes of memory set aside
	head   openai.Head
	body   openai.Body
	record spool.Record
	begun  bool // the client was sent something
	ended  bool // the final record is written
	again  bool // the server did not take the request: another one may be asked
	theirs bool // the error is the server's own
}

// Why an exchange was cut short; these are causes of its context.
var (
	errFirstByte = errors.New("the server did not begin to answer in time")
	errGap       = errors.New("the server fell silent in the middle of its answer")
)

// serve carries the request out. An error that it returns is still to be sent.
func (x *exchange) serve() *openai.Error {
	defer x.release()
	body, refused := x.readBody()
	if refused != nil {
		return refused
	}
	if x.head, refused = openai.ParseHead(x.kind, body); refused != nil {
		return refused
	}
	t := x.service.table.Load()
	way := t.routes[routeKey{x.caller.Organisation, string(x.head.Model)}]
	if way == nil {
		return t.noModel(x.caller.Organisation, string(x.head.Model))
	}
	to := x.service.pick(way, nil)
	if to == nil {
		return sleeps(way)
	}
	x.body = x.head.Body(body, nil)
	if refused := x.open(way, to); refused != nil {
		return refused
	}
	x.service.metrics.inFlight.Inc()
	defer x.service.metrics.inFlight.Dec()
	refused = x.attempt(to)
	if refused != nil && x.mayRetry() {
		if other := x.service.pick(way, to); other != nil {
			x.service.metrics.retries.Inc()
			x.sentTo(other)
			refused = x.attempt(other)
		}
	}
	if refused == nil {
		return nil
	}
	if err := x.end(spool.Interrupted, refused.Status, x.code(refused)); err != nil {
		x.service.log.ErrorContext(x.r.Context(), "final usage record not written", "request", x.id, "err", err)
	}
	if x.r.Context().Err() != nil {
		return nil // nobody is there to be told
	}
	return refused
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
	if way.state != "" {
		why = "Its state is " + way.state + "."
	}
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Type: openai.ServerError, Code: "no_ready_replica", Param: "model", Retry: true,
		RetryAfter: 10 * time.Second, Message: fmt.Sprintf("The model %q has no replica that is ready. %s Try again later.", way.model, why),
	}
}

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
	to.busy.Add(1)
	defer to.busy.Add(-1)
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	watch := newWatch(x.service.limits.firstByte, func() { cancel(errFirstByte) })
	defer watch.stop()

	req := (&http.Request{
		Method: http.MethodPost, URL: to.urls[x.kind], Header: x.header(to), Host: to.urls[x.kind].Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: x.body.Reader(), ContentLength: x.body.Size(),
		GetBody: func() (io.ReadCloser, error) { return x.body.Reader(), nil },
	}).WithContext(ctx)
	res, err := to.transport.RoundTrip(req)
	if err != nil {
		return x.failed(ctx, err)
	}
	defer res.Body.Close()
	late := func() { cancel(errGap) }
	if !x.head.Stream { // a stream may wait for its first token yet
		watch.expect(x.service.limits.gap, late)
	}
	switch {
	case res.StatusCode >= http.StatusBadRequest:
		text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if err != nil && ctx.Err() != nil {
			return x.failed(ctx, err)
		}
		x.theirs = true
		x.again = res.StatusCode == http.StatusServiceUnavailable
		return openai.UpstreamError(res.StatusCode, res.Header, text)
	case res.StatusCode != http.StatusOK:
		return badUpstream(fmt.Sprintf("with status %d", res.StatusCode))
	case x.head.Stream:
		return x.relay(ctx, res, watch, late)
	}
	return x.answer(ctx, res)
}

// header returns what a server is sent of headers: nothing of the client's but
// its trace.
func (x *exchange) header(to *target) http.Header {
	h := maps.Clone(to.header)
	h["X-Request-Id"] = []string{x.id.String()}
	if trace := x.r.Header["Traceparent"]; len(trace) == 1 {
		h["Traceparent"] = trace
	}
	return h
}

// failed says why a server gave no answer.
func (x *exchange) failed(ctx context.Context, err error) *openai.Error {
	e := &openai.Error{Status: http.StatusBadGateway, Type: openai.ServerError, Retry: true}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errFirstByte), errors.Is(cause, errGap):
		e.Status, e.Code = http.StatusGatewayTimeout, codeTimeout
		e.Message = "The model's server was too slow: " + cause.Error() + "."
	case cause != nil:
		e.Status, e.Code, e.Message = 0, codeClientGone, "The client has left."
	case fault.As(err) != nil: // the address may not be dialled
		e.Code, e.Message, e.Retry = codeBadUpstream, "The model's server is at an address that requests may not be sent to.", false
	default:
		x.again = true
		e.Code, e.Message = codeUnreachable, "The model's server cannot be reached. Try again."
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
