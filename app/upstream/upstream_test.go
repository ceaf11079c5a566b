package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a server that does as told with each connection, numbered from 1.
func script(t *testing.T, each func(n int, c net.Conn, requests *bufio.Reader)) *upstream.Server {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				each(n, c, bufio.NewReader(c))
			}()
		}
	}()
	s := upstream.New(upstream.TCP(&net.Dialer{}, ln.Addr().String(), nil))
	t.Cleanup(func() { s.Close(); _ = ln.Close(); <-ended })
	return s
}

// take reads a request and returns its body; it reports false at the end.
func take(t *testing.T, r *bufio.Reader) (string, bool) {
	t.Helper()
	req, err := http.ReadRequest(r)
	if err != nil {
		return "", false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return "", false
	}
	return string(body), true
}

func post(body ...string) *upstream.Request {
	r := &upstream.Request{Head: []byte("POST /v1/x HTTP/1.1\r\nHost: engine\r\n"), Patience: 5 * time.Second}
	for _, part := range body {
		r.Body = append(r.Body, []byte(part))
	}
	return r
}

// do sends a request and reads the whole answer.
func do(t *testing.T, s *upstream.Server, r *upstream.Request) (status int, body string, err error) {
	t.Helper()
	a, err := s.Do(t.Context(), r)
	if err != nil {
		return 0, "", err
	}
	defer a.Close()
	text, err := io.ReadAll(a)
	return a.Status, string(text), err
}

func TestDo_readsAnswers(t *testing.T) {
	t.Parallel()
	bad, cut := upstream.ErrMalformed, io.ErrUnexpectedEOF
	tests := []struct {
		name, answer string
		body         string
		err          error
		kept         bool // the connection serves again
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", nil, true},
		{"no reason phrase", "HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello", "hello", nil, true},
		{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", nil, true},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=\"b\"\r\nhel\r\n002\r\nlo\r\n0\r\nTrailer: x\r\n\r\n", "hello", nil, true},
		{"interim answers first", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", nil, true},
		{"to the end", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", nil, false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", nil, false},
		{"closing", "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 5\r\n\r\nhello", "hello", nil, false},
		{"more than was said", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello HTTP/1.1 200 OK\r\n", "hello", nil, false},
		{"more after the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nb", "a", nil, false},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", "", nil, true},
		{"less than was said", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "hello", cut, false},
		{"chunks cut off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", "hello", cut, false},
		{"chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", cut, false},
		{"chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello", "", bad, false},
		{"chunk of a negative size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", "", bad, false},
		{"chunk of too great a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000005\r\nhello\r\n", "", bad, false},
		{"chunk longer than said", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n", "", bad, false},
		{"endless extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("x", 5000) + "\r\nhello\r\n0\r\n\r\n", "", bad, false},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "", bad, false},
		{"length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", bad, false},
		{"length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", "", bad, false},
		{"length that is none", "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", "", bad, false},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "", bad, false},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", bad, false},
		{"folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", "", bad, false},
		{"space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", "", bad, false},
		{"field without a name", "HTTP/1.1 200 OK\r\n: 0\r\n\r\n", "", bad, false},
		{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "", bad, false},
		{"HTTP/2", "HTTP/2 200\r\n\r\n", "", bad, false},
		{"switches protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "", bad, false},
		{"no status", "HTTP/1.1 2x0 OK\r\n\r\n", "", bad, false},
		{"head cut off", "HTTP/1.1 200 OK\r\nContent-Le", "", bad, false},
		{"endless head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", "", bad, false},
	}
	for _, tt := range tests {
		steps := []int{len(tt.answer), 7, 1}
		if strings.HasPrefix(tt.name, "more ") { // what comes too late can only be noticed later
			steps = steps[:1]
		}
		for _, step := range steps {
			t.Run(fmt.Sprintf("%s by %d", tt.name, step), func(t *testing.T) {
				t.Parallel()
				var connections atomic.Int32
				s := script(t, func(_ int, c net.Conn, requests *bufio.Reader) {
					connections.Add(1)
					for {
						if _, ok := take(t, requests); !ok {
							return
						}
						for part := []byte(tt.answer); len(part) > 0; part = part[min(step, len(part)):] {
							if _, err := c.Write(part[:min(step, len(part))]); err != nil {
								return
							}
						}
						if !tt.kept {
							return
						}
					}
				})
				for range 2 {
					_, body, err := do(t, s, post("{}"))
					if !errors.Is(err, tt.err) || body != tt.body && tt.err == nil {
						t.Fatalf("got %q, %v; want %q, %v", body, err, tt.body, tt.err)
					}
				}
				want := int32(2)
				if tt.kept {
					want = 1
				}
				if n := connections.Load(); n != want {
					t.Errorf("%d connections for two exchanges, want %d", n, want)
				}
			})
		}
	}
}

func TestDo_sendsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	s := script(t, func(_ int, c net.Conn, requests *bufio.Reader) {
		for {
			req, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(req.Body)
			got <- fmt.Sprintf("%s %s %s %s %d %d", req.Method, req.URL, req.Host, req.Header.Get("X-Request-Id"), req.ContentLength, len(body))
			_, _ = io.WriteString(c, "HTTP/1.1 429 Too Many\r\nContent-Type: application/json; x=y\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}")
		}
	})
	for _, size := range []int{3, 16 << 10, 16<<10 + 1, 3 << 20} {
		r := post(strings.Repeat("a", size-2), "b", "c")
		r.Fields = []upstream.Field{{Name: "X-Request-Id", Value: "id"}}
		a, err := s.Do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != 429 || a.ContentType != "application/json; x=y" || a.RetryAfter != "7" || a.Length != 2 {
			t.Errorf("answer = %d %q %q %d", a.Status, a.ContentType, a.RetryAfter, a.Length)
		}
		_, _ = io.ReadAll(a)
		a.Close()
		if want := fmt.Sprintf("POST /v1/x engine id %d %d", size, size); <-got != want {
			t.Errorf("the server did not get %q", want)
		}
	}
}

func TestDo_replacesAStaleConnection(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for name, leave := range map[string]func(c net.Conn, requests *bufio.Reader, served chan struct{}){
		"closed while idle":          func(c net.Conn, _ *bufio.Reader, served chan struct{}) { _ = c.Close(); close(served) },
		"closed at the next request": func(_ net.Conn, requests *bufio.Reader, served chan struct{}) { close(served); _, _ = requests.Peek(1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			served := make(chan struct{})
			s := script(t, func(n int, c net.Conn, requests *bufio.Reader) {
				if _, whole := take(t, requests); whole {
					_, _ = io.WriteString(c, ok)
				}
				if n == 1 {
					leave(c, requests, served)
				}
			})
			for range 2 {
				if _, body, err := do(t, s, post("{}")); body != "ok" || err != nil {
					t.Fatalf("got %q, %v", body, err)
				}
				<-served
			}
		})
	}
}

func TestDo_aNewConnectionIsTriedOnce(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	s := script(t, func(_ int, _ net.Conn, requests *bufio.Reader) {
		connections.Add(1)
		_, _ = take(t, requests)
	})
	if _, _, err := do(t, s, post("{}")); err == nil || connections.Load() != 1 {
		t.Errorf("err = %v after %d connections, want an error after one", err, connections.Load())
	}
}

func TestDo_takesAnAnswerToAHalfSentRequest(t *testing.T) {
	t.Parallel()
	s := script(t, func(_ int, c net.Conn, requests *bufio.Reader) {
		_, _ = requests.Peek(1)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
		_, _ = io.Copy(io.Discard, io.LimitReader(requests, 1<<20)) // and no more
	})
	if status, body, err := do(t, s, post(strings.Repeat("x", 32<<20))); status != 413 || body != "{}" && err == nil {
		t.Errorf("got %d %q, %v; want the server's 413", status, body, err)
	}
}

func TestDo_patience(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	silent := script(t, func(_ int, _ net.Conn, requests *bufio.Reader) {
		_, _ = take(t, requests)
		_, _ = requests.Peek(1) // until the client leaves
	})
	r := post("{}")
	r.Patience = 20 * time.Millisecond
	if _, _, err := do(t, silent, r); !errors.Is(err, upstream.ErrSilent) {
		t.Errorf("err = %v, want ErrSilent", err)
	}
	stuck := script(t, func(_ int, c net.Conn, requests *bufio.Reader) {
		_, _ = take(t, requests)
		_, _ = io.WriteString(c, head+"1\r\na\r\n")
		_, _ = requests.Peek(1)
	})
	a, err := stuck.Do(t.Context(), post("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.SetPatience(20 * time.Millisecond)
	if text, err := io.ReadAll(a); string(text) != "a" || !errors.Is(err, upstream.ErrSilent) {
		t.Errorf("got %q, %v; want a, ErrSilent", text, err)
	}
}

// TestDo_patienceIsWithSilence: an answer may take for ever as long as something
// comes, and is cut off exactly when nothing has for as long as was said.
func TestDo_patienceIsWithSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			requests := bufio.NewReader(theirs)
			_, _ = take(t, requests)
			_, _ = io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
			_, _ = take(t, requests)
			_, _ = io.WriteString(theirs, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 100 {
				<-time.After(99 * time.Second)
				_, _ = io.WriteString(theirs, "1\r\na\r\n")
			}
		}()
		s := upstream.New(func(context.Context) (upstream.Conn, error) { return pipe{ours}, nil })
		r := post("{}")
		r.Patience = time.Second
		if _, body, err := do(t, s, r); body != "first" || err != nil {
			t.Fatalf("got %q, %v", body, err)
		}
		// The deadline of the exchange before is set still, and too early.
		r.Patience = 100 * time.Second
		start := time.Now()
		_, body, err := do(t, s, r)
		if want := 100*99*time.Second + r.Patience; len(body) != 100 || !errors.Is(err, upstream.ErrSilent) || time.Since(start) != want {
			t.Errorf("%d pieces and %v after %s; want 100 and ErrSilent after %s", len(body), err, time.Since(start), want)
		}
	})
}

// pipe is a connection in memory that, as a stream of a tunnel does, has an error
// of its own for a deadline that has passed.
type pipe struct{ net.Conn }

func (pipe) Usable() bool { return true }

func (p pipe) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &net.DNSError{IsTimeout: true}
	}
	return n, err
}

func TestDo_cancelCutsTheServerOff(t *testing.T) {
	t.Parallel()
	why := errors.New("nobody listens")
	for answer, want := range map[string]error{
		"": why,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n": context.Canceled,
	} {
		cutOff, asked := make(chan struct{}), make(chan struct{})
		s := script(t, func(_ int, c net.Conn, requests *bufio.Reader) {
			_, _ = take(t, requests)
			_, _ = io.WriteString(c, answer)
			close(asked)
			_, _ = requests.Peek(1)
			close(cutOff)
		})
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		if answer == "" {
			go func() { <-asked; cancel(why) }()
		}
		a, err := s.Do(ctx, post("{}"))
		if err == nil {
			cancel(why)
			_, err = io.ReadAll(a)
			a.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("err = %v, want %v", err, want)
		}
		<-cutOff
		if _, err := s.Do(ctx, post("{}")); err == nil {
			t.Error("a request without a caller is sent")
		}
	}
}

func TestClose_unreadAnswerCutsTheServerOff(t *testing.T) {
	t.Parallel()
	cutOff := make(chan struct{})
	s := script(t, func(_ int, c net.Conn, requests *bufio.Reader) {
		_, _ = take(t, requests)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
		_, _ = requests.Peek(1)
		close(cutOff)
	})
	a, err := s.Do(t.Context(), post("{}"))
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	<-cutOff
}

func TestServer_manyAtOnce(t *testing.T) {
	t.Parallel()
	s := script(t, func(_ int, c net.Conn, requests *bufio.Reader) {
		for {
			body, ok := take(t, requests)
			if !ok {
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}
	})
	errs := make(chan error, 32)
	for worker := range cap(errs) {
		go func() {
			for i := range 100 {
				text := fmt.Sprintf("%d/%d", worker, i)
				if _, body, err := do(t, s, post(text)); body != text || err != nil {
					errs <- fmt.Errorf("got %q, %w; want %q", body, err, text)
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestDo_dialErrorsAreGivenOn(t *testing.T) {
	t.Parallel()
	s := upstream.New(func(context.Context) (upstream.Conn, error) { return nil, os.ErrPermission })
	if _, err := s.Do(t.Context(), post("{}")); !errors.Is(err, os.ErrPermission) {
		t.Errorf("err = %v", err)
	}
}
