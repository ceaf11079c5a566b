package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

const drainTime = time.Second // for a server to end a stream after its [DONE]

// streams keeps the buffers of streams that have ended.
var streams = sync.Pool{New: func() any { return new(openai.Stream) }}

// relay passes a stream on, event by event. An error that it returns is still
// to be sent; one that happens after the first event is sent as an event.
func (x *exchange) relay(res *upstream.Answer) *openai.Error {
	if !isEventStream(res.ContentType) {
		return x.noStream(res)
	}
	stream, _ := streams.Get().(*openai.Stream)
	defer streams.Put(stream)
	stream.Reset(x.kind, !x.head.IncludeUsage)
	out := streamWriter{x: x}
	for {
		events, err := stream.Next(res)
		if len(events) > 0 && !x.begun {
			res.SetPatience(x.service.limits.gap)
		}
		if stream.Deltas > 0 && x.record.FirstToken == 0 {
			x.heard = time.Now()
			x.record.FirstToken = x.heard.Sub(x.started)
		}
		events, bad := x.hear(events)
		if bad != nil {
			return x.garbled(&out, stream, events, bad)
		}
		if refused := x.pass(&out, stream, events); refused != nil || stream.Done || out.err != nil {
			if refused == nil && err == nil && out.err == nil {
				res.SetPatience(drainTime)
				_, _ = stream.Next(res) // to its end, so that the connection can be used again
			}
			return refused
		}
		if err != nil {
			return x.broken(&out, stream, err)
		}
		if refused := x.checkpoint(&out, stream); refused != nil {
			return x.tell(&out, refused)
		}
	}
}

// noStream takes up an answer that is no stream though one was asked for: at best
// it is an error.
func (x *exchange) noStream(res *upstream.Answer) *openai.Error {
	res.SetPatience(x.service.limits.gap)
	text, err := io.ReadAll(io.LimitReader(res, maxRefusal))
	if err != nil && x.r.Context().Err() != nil {
		return x.failed(err, false)
	}
	if _, _, err = openai.ParseAnswer(text); errors.Is(err, openai.ErrIsError) {
		return x.refused(openai.ErrorAnswer(text))
	}
	return badUpstream("without a stream")
}

func isEventStream(contentType string) bool {
	switch contentType {
	case "text/event-stream", "text/event-stream; charset=utf-8": // what engines send
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "text/event-stream"
}

// pass sends events to the client; if they end the stream, the final record is
// written first.
func (x *exchange) pass(out *streamWriter, stream *openai.Stream, events []byte) *openai.Error {
	if stream.Done {
		x.count(stream.Usage, stream.Known, stream.Deltas)
		status, code := spool.Completed, ""
		if stream.Failed {
			status, code = spool.Interrupted, "upstream_error"
		}
		if err := x.end(status, http.StatusOK, code); err != nil {
			return x.tell(out, unmetered(err))
		}
	}
	if len(events) == 0 {
		return nil
	}
	if !x.begun {
		x.release() // nobody is asked again: the request is not needed any more
	}
	if out.write(events); out.err != nil && !stream.Done {
		x.count(stream.Usage, stream.Known, stream.Deltas)
		return x.gone()
	}
	return nil
}

// broken ends a stream that the server did not end: with an event if the client
// has seen some of it, and never with [DONE].
func (x *exchange) broken(out *streamWriter, stream *openai.Stream, err error) *openai.Error {
	x.count(stream.Usage, stream.Known, stream.Deltas)
	var refused *openai.Error
	switch {
	case errors.Is(err, openai.ErrBadEvent), errors.Is(err, openai.ErrEventTooLong):
		refused = badUpstream("with a stream that cannot be read")
	case errors.Is(err, errNoRoom):
		refused = busy()
	default:
		refused = x.failed(err, false)
		x.again = refused.Code == codeLost && stream.Deltas == 0
	}
	return x.tell(out, refused)
}

// garbled ends a stream that cannot be translated after some events.
func (x *exchange) garbled(out *streamWriter, stream *openai.Stream, events []byte, why error) *openai.Error {
	if len(events) > 0 {
		if out.write(events); out.err != nil {
			x.count(stream.Usage, stream.Known, stream.Deltas)
			return x.gone()
		}
	}
	if !errors.Is(why, errNoRoom) {
		why = openai.ErrBadEvent
	}
	return x.broken(out, stream, why)
}

// tell returns an error that can still be sent as an answer, and sends it as an
// event otherwise.
func (x *exchange) tell(out *streamWriter, refused *openai.Error) *openai.Error {
	if !x.begun {
		return refused
	}
	if err := x.end(spool.Interrupted, http.StatusOK, refused.Code); err != nil {
		x.service.log.Error("final usage record not written", "request", x.id, "err", err)
	}
	if refused.Code != codeClientGone {
		out.write(x.ending(refused)) // a client that has left needs none
	}
	return nil
}

// gone ends an exchange whose client does not take what it is sent.
func (x *exchange) gone() *openai.Error {
	if err := x.end(spool.Interrupted, http.StatusOK, codeClientGone); err != nil {
		x.service.log.Error("final usage record not written", "request", x.id, "err", err)
	}
	return nil
}

// streamWriter sends events to the client at once, and gives it a while to take
// them.
type streamWriter struct {
	x     *exchange
	until time.Time // the write deadline that is set
	at    time.Time // of the last write
	err   error     // of it: the client is gone, or too slow
}

// Values of header fields, which nobody changes.
var (
	jsonType    = []string{"application/json"}
	eventStream = []string{"text/event-stream"}
	noCache     = []string{"no-cache"}
	no          = []string{"no"}
)

// headStream sets the head of a stream, which goes out with the first bytes.
func (x *exchange) headStream() {
	h := x.w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Accel-Buffering"] = eventStream, noCache, no
	h["X-Request-Id"] = []string{x.name}
}

func (o *streamWriter) write(events []byte) {
	if !o.x.begun {
		o.x.headStream()
		o.x.begun = true
	}
	limit := o.x.service.limits.write
	o.at = time.Now()
	o.x.to.replica.Moved(o.at.Sub(o.x.service.origin))
	if o.until.Sub(o.at) < limit/2 { // not for each event: it costs
		o.until = o.at.Add(limit)
		_ = o.x.control.SetWriteDeadline(o.until) // a test's recorder has none
	}
	if _, o.err = o.x.w.Write(events); o.err == nil {
		o.err = o.x.control.Flush()
	}
}
