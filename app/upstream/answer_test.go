package upstream_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
)

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 3)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), 1)
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx"), 100)
	f.Fuzz(func(t *testing.T, answer []byte, step int) {
		if step < 1 || len(answer) > 1<<16 {
			return
		}
		s := upstream.New(func(context.Context) (upstream.Conn, error) { return &tape{answer: answer, step: step}, nil })
		a, err := s.Do(t.Context(), post("{}"))
		if err != nil {
			return
		}
		defer a.Close()
		got, err := io.ReadAll(a)
		// What we take, the standard library takes in the same way.
		r := bufio.NewReader(bytes.NewReader(answer))
		for {
			want, werr := http.ReadResponse(r, &http.Request{Method: http.MethodPost}) //nolint:bodyclose // of memory
			if werr != nil {
				t.Fatalf("we read %d %q, which is no answer to net/http: %v", a.Status, got, werr)
			}
			if want.StatusCode < 200 {
				continue
			}
			text, werr := io.ReadAll(want.Body) // an error is one in the trailers, which we pass over
			if err == nil && (want.StatusCode != a.Status || !bytes.Equal(text, got)) {
				t.Fatalf("we read %d %q, net/http %d %q %v", a.Status, got, want.StatusCode, text, werr)
			}
			return
		}
	})
}

// tape is a connection that plays an answer in steps.
type tape struct {
	net.Conn

	answer []byte
	step   int
}

func (c *tape) Read(p []byte) (int, error) {
	if len(c.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.step)], c.answer)
	c.answer = c.answer[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error)      { return len(p), nil }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }
func (c *tape) Close() error                     { return nil }
func (c *tape) Usable() bool                     { return true }
