package apptest_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// resident returns the memory of a process now and at its most, in MiB.
func resident(t *testing.T, pid int) (now, peak int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			now = kib >> 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			peak = kib >> 10
		}
	}
	return now, peak
}

// dial opens a connection, writes a text and leaves it at that. What the kernel
// keeps for it is on our side little: with the megabytes of room that it has
// otherwise, hundreds of connections would take the memory that all of the
// machine's share, and serve's own part would not show.
func (r *replica) dial(text string) net.Conn {
	var d net.Dialer
	conn, err := d.DialContext(r.site.t.Context(), "tcp", r.people)
	if err != nil {
		r.site.t.Error(err)
		return nil
	}
	r.site.t.Cleanup(func() { _ = conn.Close() })
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(16 << 10)
	}
	_, _ = io.WriteString(conn, text)
	return conn
}

// post is the text of a chat request.
func (r *replica) post(fields, body string, length int) string {
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
		r.people, r.site.key, fields, length, body)
}

// TestMemory_F34_F35_staysFlat has hundreds of clients who send and read nothing
// more, as behind a half-open connection, and engines without end. Each is cut
// off, everybody else is served meanwhile, and no memory is taken for it.
func TestMemory_F34_F35_staysFlat(t *testing.T) {
	t.Parallel()
	flood := []byte(strings.Repeat("x", 1<<20))
	s, serve := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		pour := func(b []byte) {
			for r.Context().Err() == nil {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}
		switch asked := string(body); {
		case strings.Contains(asked, "events without end"):
			w.Header().Set("Content-Type", "text/event-stream")
			pour([]byte(strings.Repeat(piece, 1000)))
		case strings.Contains(asked, "a line without end"):
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, piece+"data: ")
			pour(flood)
		case strings.Contains(asked, "an answer without end"):
			pour(flood)
		default:
			_, _ = io.WriteString(w, `{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
		}
	})
	serve.answers("outside")
	ask := func(what string, stream bool) string {
		return strings.Replace(chat("outside", stream, 0), "hello", what, 1)
	}
	before, _ := resident(t, serve.Process.Pid)
	each := 200
	if slow {
		each = 8
	}
	began := time.Now()
	var cut, inTime atomic.Int64
	var late sync.Map // what was not cut off in time
	var all sync.WaitGroup
	hang := func(what, text string, from, to time.Duration) {
		conn := serve.dial(text)
		if conn == nil {
			return
		}
		all.Go(func() {
			// What it is sent is left in the kernel until the server has given up, 30 s after
			// it last found room there.
			<-time.After(time.Until(began.Add(from)))
			_ = conn.SetReadDeadline(began.Add(to))
			_, err := io.Copy(io.Discard, conn)
			if ne, ok := err.(net.Error); !ok || !ne.Timeout() { //nolint:errorlint // as net returns it
				cut.Add(1)
			} else {
				late.Store(what, to)
			}
		})
	}
	body := ask("events without end", true)
	for range each {
		hang("a client that reads nothing", serve.post("", body, len(body)), 36*time.Second, 56*time.Second)
		hang("half a head", "POST /v1/chat/completions HTTP/1.1\r\nHost: ", 0, 20*time.Second)
		hang("a great body that does not come", serve.post("", `{"model":"outside"`, 900<<10), 50*time.Second, 80*time.Second)
	}
	over := make(chan struct{})
	all.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			if status, text := serve.call(http.MethodPost, "/v1/chat/completions", s.key, ask("hello", false)); status != http.StatusOK {
				t.Errorf("somebody else gets %d %s\n%s", status, text, s.lastLog())
				return
			}
			inTime.Add(1)
			<-time.After(20 * time.Millisecond)
		}
	})
	refused := func(what string, stream bool) {
		for range 20 {
			if _, text := serve.call(http.MethodPost, "/v1/chat/completions", s.key, ask(what, stream)); !strings.Contains(text, "bad_upstream") {
				t.Errorf("%s: %.200s", what, text)
			}
		}
	}
	refused("a line without end", true)
	s.within(2*time.Minute, "all are cut off", func() bool {
		late.Range(func(what, limit any) bool {
			t.Fatalf("%s is not cut off in %s", what, limit)
			return false
		})
		return cut.Load() == int64(3*each)
	})
	close(over)
	all.Wait()
	_, flat := resident(t, serve.Process.Pid)
	refused("an answer without end", false) // each holds 64 MiB for a moment, and the next one the same ones
	_, peak := resident(t, serve.Process.Pid)
	if !slow && (flat > 200 || peak > 768) {
		t.Errorf("serve took %d MiB, and %d with great answers; at most 200 and 768 are wanted", flat, peak)
	}
	figure(t, "Clients and engines without end", []string{
		"clients that do not read", "half a head", "a body that does not come", "cut off", "others answered meanwhile", "MiB before", "MiB at most", "with 20 endless answers",
	}, []any{each, each, each, cut.Load(), inTime.Load(), before, flat, peak})
}
