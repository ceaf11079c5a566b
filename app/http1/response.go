package http1

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// holdBytes is how much of an answer is held back to learn its length.
const holdBytes = 16 << 10

// buffers keeps memory for what is written.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// response is an http.ResponseWriter. It is used again for the next answer.
type response struct {
	c      *conn
	header http.Header

	status  int
	sent    bool  // the head is on its way
	chunked bool  // of the body after it
	length  int64 // of the body, as the handler said; -1 if it did not
	written int64
	err     error

	held *[]byte   // the beginning of the body, while the head is not sent
	want time.Time // the write deadline that is wanted; zero for none
}

func (w *response) begin() {
	clear(w.header)
	w.status, w.sent, w.chunked, w.length, w.written, w.err = 0, false, false, -1, 0, nil
	w.want = time.Time{}
}

// closes reports whether the handler wants the connection to end.
func (w *response) closes() bool { return strings.EqualFold(w.header.Get("Connection"), "close") }

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Interim answers are not sent.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
		if said := w.header.Get("Content-Length"); said != "" {
			if n, err := strconv.ParseInt(said, 10, 64); err == nil && n >= 0 {
				w.length = n
			}
		}
	}
}

// SetReadDeadline is for http.ResponseController: until when the request has to
// come.
func (w *response) SetReadDeadline(t time.Time) error {
	w.c.body.limit = t
	return nil
}

// SetWriteDeadline is for http.ResponseController: until when the client has to
// take what is written.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.want = t
	return nil
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	if w.written += int64(len(p)); w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if w.held == nil {
		w.held, _ = buffers.Get().(*[]byte)
	}
	if w.sent && w.chunked {
		*w.held = appendChunk(*w.held, p)
	} else {
		*w.held = append(*w.held, p...)
	}
	if len(*w.held) >= holdBytes {
		return len(p), w.FlushError()
	}
	return len(p), w.err
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is for http.ResponseController: it sends what is held.
func (w *response) FlushError() error {
	if w.sent && w.held == nil {
		return w.err
	}
	if w.WriteHeader(http.StatusOK); w.sent {
		w.send(*w.held)
		w.drop()
		return w.err
	}
	w.chunked = w.length < 0 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
	w.sendHead(false)
	return w.err
}

// Finish sends the answer, which is whole, so that its client need not wait for
// what the handler does afterwards. It is of no account once some was sent.
func (w *response) Finish() {
	if w.sent {
		return
	}
	w.WriteHeader(http.StatusOK)
	w.whole(w.c.isLast())
}

// whole sends the head and all of the body.
func (w *response) whole(last bool) {
	if w.length < 0 {
		w.length = w.written
	}
	w.sendHead(last)
}

// finish sends what is left, and reports whether the answer is whole. last says
// that no other one follows on the connection.
func (w *response) finish(last bool) bool {
	w.WriteHeader(http.StatusOK)
	switch {
	case !w.sent:
		w.whole(last)
	case w.chunked:
		if w.held == nil {
			w.held, _ = buffers.Get().(*[]byte)
		}
		w.send(append(*w.held, "0\r\n\r\n"...))
		w.drop()
	case w.held != nil:
		w.send(*w.held)
		w.drop()
	}
	return w.err == nil && (w.chunked || w.written == w.length)
}

func (w *response) drop() {
	if w.held != nil && cap(*w.held) <= 4*holdBytes {
		*w.held = (*w.held)[:0]
		buffers.Put(w.held)
	}
	w.held = nil
}

// sendHead sends the head and what is held of the body.
func (w *response) sendHead(last bool) {
	w.sent = true
	kept, _ := buffers.Get().(*[]byte) // the pool holds nothing else
	b := w.appendHead((*kept)[:0], last)
	var body []byte
	if w.held != nil {
		body = *w.held
	}
	switch {
	case w.chunked && len(body) > 0:
		b = appendChunk(b, body)
	default:
		b = append(b, body...)
	}
	w.drop()
	w.send(b)
	*kept = b[:0]
	buffers.Put(kept)
}

func (w *response) appendHead(b []byte, last bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(w.status)...)
	b = append(b, "\r\n"...)
	for name, values := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Date":
			continue
		}
		for _, v := range values {
			b = append(append(b, name...), ": "...)
			for i := range len(v) {
				if c := v[i]; c == '\r' || c == '\n' {
					b = append(b, ' ') // as net/http does
				} else {
					b = append(b, c)
				}
			}
			b = append(b, "\r\n"...)
		}
	}
	b = append(append(append(b, "Date: "...), w.c.server.now()...), "\r\n"...)
	switch {
	case w.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case w.status != http.StatusNoContent && w.status != http.StatusNotModified:
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, w.length, 10), "\r\n"...)
	}
	if last || w.c.head.close || w.closes() {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendChunk(b, p []byte) []byte {
	if len(p) == 0 {
		return b // a chunk of nothing would be the end
	}
	b = strconv.AppendInt(b, int64(len(p)), 16)
	b = append(append(append(b, "\r\n"...), p...), "\r\n"...)
	return b
}

// send writes to the client, until the deadline that is wanted. As with reads,
// one that is set stays unless it is too late, and is moved when it comes too
// soon.
func (w *response) send(b []byte) {
	for w.err == nil && len(b) > 0 {
		if !w.want.IsZero() && (w.c.writeUntil.IsZero() || w.c.writeUntil.After(w.want)) {
			w.arm()
		}
		n, err := w.c.nc.Write(b)
		if b = b[n:]; err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !w.want.IsZero() && time.Until(w.want) <= 0 {
			w.err = err
			return
		}
		w.arm()
	}
}

func (w *response) arm() {
	if err := w.c.nc.SetWriteDeadline(w.want); err != nil {
		w.err = err
	}
	w.c.writeUntil = w.want
}
