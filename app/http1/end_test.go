package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/http1"
)

func TestServe_closesWhenTold(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/close" {
			w.Header().Set("Connection", "close")
		}
		echo(w, r)
	})
	for name, request := range map[string]string{
		"by the client":  post("/v1/x", "Connection: Close\r\n", "{}"),
		"by the handler": post("/v1/close", "", "{}"),
	} {
		c, r := b.dial(t)
		_, _ = io.WriteString(c, request)
		if res, _ := receive(t, r); !res.last {
			t.Errorf("%s: the answer does not say so", name)
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("%s: err = %v, want the end", name, err)
		}
	}
}

func TestServe_keepsLittleForAClientThatReadsNothing(t *testing.T) {
	t.Parallel()
	taken := make(chan int, 1)
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		sum := 0
		for p := make([]byte, 10_000); sum < 64<<20; sum += len(p) {
			if _, err := w.Write(p); err != nil {
				break
			}
			_ = http.NewResponseController(w).Flush()
		}
		taken <- sum
	})
	for server, request := range map[string]string{
		"ours":     post("/v1/x", "", "{}"),
		"net/http": "POST /v1/x HTTP/1.1\r\nHost: us\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		c, _ := b.dial(t)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(16 << 10)
		}
		_, _ = io.WriteString(c, request)
		if n := <-taken; n > 512<<10 {
			t.Errorf("%s: %d bytes were taken for it", server, n)
		}
		// A connection that only closed would still be given all of it, and the end.
		if n, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: read %d bytes, then %v, want a reset", server, n, err)
		}
	}
}

func TestServe_refusalOfAGreatBodyArrives(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 1<<20 {
			w.Header().Set("Connection", "close")
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
	})
	for _, size := range []int{100, 100_000, 2 << 20} {
		c, r := b.dial(t)
		go func() { _, _ = io.WriteString(c, post("/v1/x", "", strings.Repeat("x", size))) }()
		if res, body := receive(t, r); res.status != http.StatusRequestEntityTooLarge || body != "too large" {
			t.Errorf("%d bytes: got %d %q", size, res.status, body)
		}
		if size < 1<<20 { // small enough to go on
			_, _ = io.WriteString(c, post("/v1/x", "", "{}"))
			receive(t, r)
		}
	}
}

// What net/http refuses before it has read it all arrives as well.
func TestRest_refusalOfAGreatHeadArrives(t *testing.T) {
	t.Parallel()
	b := setup(t, echo)
	c, r := b.dial(t)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, err := io.WriteString(c, "GET /page HTTP/1.1\r\nHost: us\r\nX-Great: ")
		for more := strings.Repeat("x", 64<<10); err == nil; {
			_, err = io.WriteString(c, more)
		}
	}()
	if res, body := receive(t, r); res.status != http.StatusRequestHeaderFieldsTooLarge || !strings.HasPrefix(body, "431") {
		t.Errorf("got %d %q", res.status, body)
	}
	<-closed
}

// Some clients end their requests with a line of their own.
func TestServe_ignoresAnEmptyLineBeforeARequest(t *testing.T) {
	t.Parallel()
	b := setup(t, echo)
	c, r := b.dial(t)
	for _, text := range []string{"\r\n" + post("/v1/x", "", "a"), post("/v1/x", "", "b") + "\r\n" + post("/v1/x", "", "c"), "\r", "\n" + post("/v1/x", "", "d")} {
		_, _ = io.WriteString(c, text)
		for range strings.Count(text, "POST") {
			if res, body := receive(t, r); res.status != http.StatusOK {
				t.Fatalf("%q: %d %s", text, res.status, body)
			}
		}
	}
	_, _ = io.WriteString(c, "\r\nGET /page HTTP/1.1\r\nHost: us\r\n\r\n") // by net/http
	if res, body := receive(t, r); res.status != http.StatusOK || b.fromFront.Load() != 4 {
		t.Errorf("%d %s, %d were served here", res.status, body, b.fromFront.Load())
	}
	c, r = b.dial(t)
	_, _ = io.WriteString(c, "\r\n\r\n"+post("/v1/x", "", "a"))
	if res, _ := receive(t, r); res.status != http.StatusBadRequest {
		t.Errorf("two empty lines: %d", res.status)
	}
}

// What would not get to the handler is refused in its words, and arrives while
// the client still writes.
func TestServe_refusesHeadsInTheHandlersWords(t *testing.T) {
	t.Parallel()
	refuse := func(c *http1.Config) {
		c.Refuse = func(w http.ResponseWriter, r *http.Request, status int) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" is refused")
		}
	}
	great := "X-Great: " + strings.Repeat("x", 16<<10)
	for name, c := range map[string]struct {
		request, more string
		status        int
		says          string
	}{
		"a great head":            {"GET /v1/models HTTP/1.1\r\nHost: us\r\n" + great, strings.Repeat("x", 64<<10), 431, "GET /v1/models is refused"},
		"one with a body":         {"POST /v1/x HTTP/1.1\r\nHost: us\r\nContent-Length: 2\r\n" + great + "\r\n\r\n{}", "", 431, "POST /v1/x is refused"},
		"an unknown expectation":  {post("/v1/x", "Expect: tea\r\n", "{}"), "", 417, "POST /v1/x is refused"},
		"one whose body is great": {"POST /v1/x HTTP/1.1\r\nHost: us\r\nExpect: tea\r\nContent-Length: 600000\r\n\r\n", strings.Repeat("x", 600_000), 417, "POST /v1/x is refused"},
		"after another":           {post("/v1/x", "", "{}") + post("/v1/y", "expect: tea\r\n", ""), "", 417, "POST /v1/y is refused"},
		"not our path":            {"GET /page HTTP/1.1\r\nHost: us\r\nExpect: tea\r\n\r\n", "", 417, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, echo, refuse)
			conn, r := b.dial(t)
			go func() { _, _ = io.WriteString(conn, c.request+c.more) }()
			if name == "after another" {
				receive(t, r)
			}
			res, body := receive(t, r)
			if res.status != c.status || body != c.says || !res.last {
				t.Errorf("got %d %q, last: %v", res.status, body, res.last)
			}
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("err = %v, want the end", err)
			}
		})
	}
}

func TestServe_noticesThatTheClientLeft(t *testing.T) {
	t.Parallel()
	left := make(chan time.Time, 1)
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/v1/stream" {
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		left <- time.Now()
	})
	for _, path := range []string{"/v1/answer", "/v1/stream"} {
		for _, wait := range []time.Duration{0, 150 * time.Millisecond} { // before and after it is watched
			c, _ := b.dial(t)
			_, _ = io.WriteString(c, post(path, "", "{}"))
			<-time.After(wait)
			at := time.Now()
			_ = c.Close()
			if took := (<-left).Sub(at); took > 400*time.Millisecond {
				t.Errorf("%s after %s: noticed after %s", path, wait, took)
			}
		}
	}
}

func TestServe_longAnswersDoNotDisturbWhatFollows(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1/long" {
			select {
			case <-time.After(80 * time.Millisecond):
			case <-r.Context().Done():
				t.Error("a client that waits is taken for one that has left")
			}
		}
		_, _ = w.Write(body)
	})
	c, r := b.dial(t)
	for i := range 5 {
		for _, path := range []string{"/v1/long", "/v1/short"} {
			want := path + strconv.Itoa(i)
			_, _ = io.WriteString(c, post(path, "", want))
			if _, got := receive(t, r); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
}

func TestServe_timeouts(t *testing.T) {
	t.Parallel()
	b := setup(t, echo, func(c *http1.Config) { c.HeaderTimeout, c.IdleTimeout = 500*time.Millisecond, 500*time.Millisecond })
	for name, begin := range map[string]string{
		"nothing": "", "the half of a head": "POST /v1/x HTTP/1.1\r\nHos", "an idle connection": post("/v1/x", "", "{}"),
	} {
		c, r := b.dial(t)
		_, _ = io.WriteString(c, begin)
		if strings.HasSuffix(begin, "{}") {
			receive(t, r)
		}
		start := time.Now()
		if _, err := r.ReadByte(); err != io.EOF || time.Since(start) > 3*time.Second {
			t.Errorf("%s: %v after %s, want the end", name, err, time.Since(start))
		}
	}
}

func TestServe_aSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	cut := make(chan error, 1)
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		control := http.NewResponseController(w)
		piece := bytes.Repeat([]byte("x"), 64<<10)
		for {
			_ = control.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			if _, err := w.Write(piece); err != nil {
				cut <- err
				return
			}
		}
	})
	c, _ := b.dial(t)
	_, _ = io.WriteString(c, post("/v1/x", "", "{}"))
	if err := <-cut; err == nil {
		t.Error("a client that reads nothing is written to for ever")
	}
}

func TestServe_aSlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := io.ReadAll(r.Body)
		failed <- err
	})
	c, _ := b.dial(t)
	_, _ = io.WriteString(c, "POST /v1/x HTTP/1.1\r\nHost: us\r\nContent-Length: 9\r\n\r\nabc")
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("err = %v, want a timeout", err)
	}
}

func TestServe_aPanicEndsTheConnectionAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/panic" {
			panic("no")
		}
		echo(w, r)
	})
	c, r := b.dial(t)
	_, _ = io.WriteString(c, post("/v1/panic", "", "{}"))
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("err = %v, want the end", err)
	}
	c, r = b.dial(t)
	_, _ = io.WriteString(c, post("/v1/x", "", "{}"))
	receive(t, r)
	_ = b.front.Close()
	if !strings.Contains(b.log.String(), "handler panicked") {
		t.Errorf("log = %q", b.log.String())
	}
}

func TestShutdown_finishesWhatRunsAndClosesWhatIsIdle(t *testing.T) {
	t.Parallel()
	asked, goOn := make(chan struct{}), make(chan struct{})
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/slow" {
			close(asked)
			<-goOn
		}
		echo(w, r)
	})
	idle, idleReader := b.dial(t)
	_, _ = io.WriteString(idle, post("/v1/x", "", "{}"))
	receive(t, idleReader)
	_, freshReader := b.dial(t) // has sent nothing yet
	busy, busyReader := b.dial(t)
	_, _ = io.WriteString(busy, post("/v1/slow", "", "{}"))
	<-asked
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.front.Shutdown(short); err == nil {
		t.Error("Shutdown does not wait for an answer that is being given")
	}
	for name, r := range map[string]*bufio.Reader{"an idle connection": idleReader, "one that sent nothing": freshReader} {
		if _, err := r.ReadByte(); err == nil {
			t.Errorf("%s is not closed", name)
		}
	}
	close(goOn)
	if res, body := receive(t, busyReader); body == "" || !res.last {
		t.Errorf("got %q, closing %t", body, res.last)
	}
	if err := b.front.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

func TestClose_endsWhatRuns(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	b := setup(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
	})
	c, _ := b.dial(t)
	_, _ = io.WriteString(c, post("/v1/x", "", "{}"))
	<-asked
	if err := b.front.Close(); err != nil { // or for ever
		t.Error(err)
	}
}
