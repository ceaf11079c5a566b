package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// finisher is a response that can be told that it is whole, and is sent before
// the handler has cleaned up.
type finisher interface{ Finish() }

// answer relays an answer that is no stream: read whole, checked, metered, sent.
func (x *exchange) answer(res *upstream.Answer) *openai.Error {
	text, refused := x.readAnswer(res)
	if refused != nil {
		return refused
	}
	x.heard = time.Now()
	usage, known, err := openai.ParseAnswer(text)
	switch {
	case errors.Is(err, openai.ErrIsError):
		x.heard = time.Time{} // there was no answer
		return x.refused(openai.ErrorAnswer(text))
	case err != nil:
		return badUpstream("with something that is not a JSON object")
	}
	written := text // the engine's own, of which translating makes another
	if text, err = x.hearAnswer(text); err != nil {
		return badUpstream("with something that cannot be translated")
	}
	if x.count(usage, known, 0); !known {
		x.countWhole(written)
	}
	x.record.FirstToken = x.heard.Sub(x.started)
	if err := x.end(spool.Completed, http.StatusOK, ""); err != nil {
		return unmetered(err)
	}
	h := x.w.Header()
	h["Content-Type"] = jsonType
	h["X-Request-Id"] = []string{x.name}
	x.begun = true
	_ = x.control.SetWriteDeadline(x.started.Add(x.record.Duration + x.service.limits.write)) // the record is of this moment
	_, _ = x.w.Write(text)                                                                    // a client that has left needs no answer
	if w, ok := x.w.(finisher); ok {
		w.Finish()
	}
	return nil
}

// readAnswer reads a whole answer into memory that is set aside for it.
func (x *exchange) readAnswer(res *upstream.Answer) ([]byte, *openai.Error) {
	limit := x.service.limits.answer
	size := res.Length
	if size < 0 {
		size = firstRead
	}
	if size >= limit {
		return nil, badUpstream("with more than is believable")
	}
	if !x.hold(size) {
		return nil, busy()
	}
	text := x.space(size + 1)
	for {
		n, err := res.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case errors.Is(err, io.EOF):
			return text, nil
		case err != nil:
			return nil, x.failed(err, false)
		case int64(len(text)) >= limit:
			return nil, badUpstream("with more than is believable")
		case len(text) < cap(text):
			continue
		}
		if !x.hold(int64(cap(text))) {
			return nil, busy()
		}
		text = x.moved(text)
	}
}
