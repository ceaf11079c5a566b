package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Answer is the head of an answer, and a reader of its body. It is good until
// it is closed, which must happen once.
type Answer struct {
	Status      int
	ContentType string
	RetryAfter  string
	Length      int64 // of the body; -1 when only its end will tell

	conn  *conn
	stop  func() bool // ends the watch over the context of the exchange
	whole bool        // the connection can carry another exchange after this one
	ended bool        // the body was read to its end

	chunked bool
	chunks  chunks
	left    int64   // of a body whose length is known
	rest    []byte  // what came together with the head
	kept    *[]byte // the buffer that rest is in
}

// headEnd returns the length of the head that b begins with, with its empty
// line; 0 while that has not come.
func headEnd(b []byte) int {
	if n := bytes.Index(b, []byte("\r\n\r\n")); n >= 0 {
		return n + 4
	}
	return 0
}

// parse reads a head and reports whether another one follows it.
func (a *Answer) parse(head []byte) (interim bool, err error) {
	*a = Answer{Length: -1}
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	// HTTP/1.1 200 OK
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' ||
		bytes.ContainsAny(line, "\r\n\x00") {
		return false, fmt.Errorf("%w: it has no status line", ErrMalformed)
	}
	if a.Status, err = strconv.Atoi(string(line[9:12])); err != nil || a.Status < 100 {
		return false, fmt.Errorf("%w: it has no status", ErrMalformed)
	}
	old := line[7] != '1' // HTTP/1.0 knows neither chunks nor a second exchange
	a.whole = !old
	for len(fields) > 2 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		if err := a.field(line); err != nil {
			return false, err
		}
	}
	switch {
	case a.Status == 101:
		return false, fmt.Errorf("%w: it changes the protocol", ErrMalformed)
	case a.Status < 200:
		return true, nil
	case a.chunked && (a.Length >= 0 || old):
		return false, fmt.Errorf("%w: its length is told in two ways", ErrMalformed)
	case a.Status == 204 || a.Status == 304:
		a.Length, a.chunked = 0, false
	case a.Length < 0 && !a.chunked:
		a.whole = false // it ends with the connection
	}
	return false, nil
}

// field takes up a header field.
func (a *Answer) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || bytes.ContainsAny(line, "\r\n\x00") || !isToken(line[:colon]) {
		return fmt.Errorf("%w: it has a header field that cannot be read", ErrMalformed)
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	switch {
	case is(name, "content-length"):
		n, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil || value[0] == '+' || a.Length >= 0 && a.Length != int64(n) {
			return fmt.Errorf("%w: its Content-Length makes no sense", ErrMalformed)
		}
		a.Length = int64(n)
	case is(name, "transfer-encoding"):
		if a.chunked || !is(value, "chunked") {
			return fmt.Errorf("%w: it has a Transfer-Encoding other than chunked", ErrMalformed)
		}
		a.chunked = true
	case is(name, "connection"):
		for option := range bytes.SplitSeq(value, []byte(",")) {
			if is(bytes.Trim(option, " \t"), "close") {
				a.whole = false
			}
		}
	case is(name, "content-type"):
		a.ContentType = contentType(value)
	case is(name, "retry-after"):
		a.RetryAfter = string(value)
	}
	return nil
}

// isToken reports whether a name is made of what RFC 9110 §5.6.2 allows.
func isToken(name []byte) bool {
	for _, c := range name {
		letter, digit := 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9'
		if !letter && !digit && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}

// is compares an ASCII name without regard to case; lower is in lower case.
func is(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// contentType returns value as a string, without a copy for what engines send.
func contentType(value []byte) string {
	for _, known := range [...]string{"application/json", "text/event-stream; charset=utf-8", "text/event-stream"} {
		if string(value) == known {
			return known
		}
	}
	return string(value)
}

// begin makes the body readable: it starts at end in b, which lives in kept.
func (a *Answer) begin(c *conn, kept *[]byte, b []byte, end int) {
	a.conn, a.rest, a.left = c, b[end:], a.Length
	if *kept = b; len(a.rest) > 0 {
		a.kept = kept
		return
	}
	keep(kept)
}

// keep gives a buffer back, unless one great head made it grow.
func keep(kept *[]byte) {
	if cap(*kept) <= firstHead+joined {
		buffers.Put(kept)
	}
}

// SetPatience says for how long the server may be silent from now on.
func (a *Answer) SetPatience(d time.Duration) { a.conn.patience = d }

// Read reads from the body. It fails with io.EOF at its end, which may come
// together with its last bytes, with io.ErrUnexpectedEOF when the server broke
// off, with ErrSilent and ErrMalformed, and with context.Canceled when the
// context of the exchange has ended.
func (a *Answer) Read(p []byte) (int, error) {
	switch {
	case a.ended || a.left == 0 && !a.chunked:
		a.ended = true
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	case a.chunked:
		return a.readChunks(p)
	case a.left > 0 && int64(len(p)) > a.left:
		p = p[:a.left]
	}
	n, err := a.some(p)
	if a.left < 0 { // to the end of the connection
		if errors.Is(err, io.ErrUnexpectedEOF) {
			a.ended, err = true, io.EOF
		}
		return n, err
	}
	if a.left -= int64(n); a.left == 0 {
		a.ended, err = true, io.EOF
	}
	return n, err
}

func (a *Answer) readChunks(p []byte) (int, error) {
	for {
		got, err := a.some(p)
		if err != nil {
			return 0, err
		}
		n, used, err := a.chunks.decode(p[:got])
		if err != nil {
			return 0, err
		}
		if a.chunks.state == chunkDone {
			a.ended = true
			a.whole = a.whole && used == got
			return n, io.EOF
		}
		if n > 0 {
			return n, nil
		}
	}
}

// some returns bytes as they came.
func (a *Answer) some(p []byte) (int, error) {
	if len(a.rest) > 0 {
		n := copy(p, a.rest)
		if a.rest = a.rest[n:]; len(a.rest) == 0 {
			keep(a.kept)
			a.kept = nil
		}
		return n, nil
	}
	n, err := a.conn.read(p)
	if err == nil || errors.Is(err, ErrSilent) || errors.Is(err, context.Canceled) {
		return n, err
	}
	return n, io.ErrUnexpectedEOF // whatever cut it off
}

// Close ends the exchange. If the answer was not read to its end the server is
// cut off, which is how it learns that nobody listens any more.
func (a *Answer) Close() {
	c := a.conn
	alive := a.stop()
	if a.kept != nil {
		keep(a.kept)
	}
	reusable := alive && a.ended && a.whole && len(a.rest) == 0
	c.answer = Answer{}
	if !reusable {
		_ = c.Close()
		return
	}
	c.served = true
	c.server.put(c)
}
