package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/inventiv-it-for-ai/inventiv/app/http1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a server with net/http behind it, on one listener.
type bed struct {
	addr      string
	front     *http1.Server
	log       *bytes.Buffer
	fromFront atomic.Int32 // requests that did not go to net/http
}

func setup(t *testing.T, h http.HandlerFunc, change ...func(*http1.Config)) *bed {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{addr: ln.Addr().String(), log: &bytes.Buffer{}}
	cfg := http1.Config{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.fromFront.Add(1); h(w, r) }),
		Mine:    func(path string) bool { return strings.HasPrefix(path, "/v1/") },
		Log:     slog.New(slog.NewTextHandler(b.log, nil)), HeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
	}
	for _, f := range change {
		f(&cfg)
	}
	b.front = http1.New(cfg)
	rest := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	var ended sync.WaitGroup
	ended.Go(func() { _ = b.front.Serve(context.WithoutCancel(t.Context()), ln) })
	ended.Go(func() { _ = rest.Serve(b.front.Rest()) })
	t.Cleanup(func() { _ = b.front.Close(); _ = rest.Close(); ended.Wait() })
	return b
}

func (b *bed) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, bufio.NewReader(c)
}

// reply is an answer without its body.
type reply struct {
	status int
	header http.Header
	last   bool // on its connection
}

// receive reads an answer and its body.
func receive(t *testing.T, r *bufio.Reader) (reply, string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("the answer is cut off after %q: %v", text, err)
	}
	return reply{res.StatusCode, res.Header, res.Close}, string(text)
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.URL.Path, r.Host, r.Header.Get("X-A"), body)
}

func post(path, fields, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: us\r\n" + fields + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func TestServe_manyRequestsOnOneConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, echo)
	c, r := b.dial(t)
	var text strings.Builder
	var want []string
	for i, size := range []int{0, 3, 5000, 100_000, 1 << 20, 1} {
		body := strings.Repeat(strconv.Itoa(i), size)
		text.WriteString(post("/v1/x", "x-a: "+strconv.Itoa(i)+"\r\n", body))
		want = append(want, fmt.Sprintf("POST /v1/x us %d %s", i, body))
		text.WriteString("GET /v1/models/a-b_c.d HTTP/1.1\r\nHost: us:8080\r\n\r\n")
		want = append(want, "GET /v1/models/a-b_c.d us:8080  ")
	}
	all := text.String()
	for _, step := range []int{len(all), 1000, 4096} { // pipelined, and cut anywhere
		go func() {
			for rest := all; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				_, _ = io.WriteString(c, rest[:min(step, len(rest))])
			}
		}()
		for _, w := range want {
			if _, got := receive(t, r); got != w {
				t.Fatalf("got %.80q, want %.80q", got, w)
			}
		}
	}
	if n := int(b.fromFront.Load()); n != 3*len(want) {
		t.Errorf("%d requests were served here, want %d", n, 3*len(want))
	}
}

func TestServe_handsOverWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("X-B: b\r\n", 65)
	for name, request := range map[string]string{
		"another path":          "GET /login HTTP/1.1\r\nHost: us\r\n\r\n",
		"the root of our paths": "GET /v1 HTTP/1.1\r\nHost: us\r\n\r\n",
		"a query":               "GET /v1/models?a=b HTTP/1.1\r\nHost: us\r\n\r\n",
		"an escape":             "GET /v1/%2e%2e/login HTTP/1.1\r\nHost: us\r\n\r\n",
		"absolute form":         "GET http://us/v1/models HTTP/1.1\r\nHost: us\r\n\r\n",
		"another method":        "DELETE /v1/models HTTP/1.1\r\nHost: us\r\n\r\n",
		"an older protocol":     "GET /v1/models HTTP/1.0\r\nHost: us\r\n\r\n",
		"chunks":                "POST /v1/x HTTP/1.1\r\nHost: us\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		"chunks and a length":   "POST /v1/x HTTP/1.1\r\nHost: us\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"no length":             "POST /v1/x HTTP/1.1\r\nHost: us\r\n\r\n",
		"two lengths":           "POST /v1/x HTTP/1.1\r\nHost: us\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
		"expecting":             "POST /v1/x HTTP/1.1\r\nHost: us\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
		"no host":               "GET /v1/models HTTP/1.1\r\n\r\n",
		"two hosts":             "GET /v1/models HTTP/1.1\r\nHost: us\r\nHost: them\r\n\r\n",
		"a folded field":        "GET /v1/models HTTP/1.1\r\nHost: us\r\nX-A: a\r\n b\r\n\r\n",
		"line feeds alone":      "GET /v1/models HTTP/1.1\nHost: us\n\n",
		"a NUL":                 "GET /v1/models HTTP/1.1\r\nHost: us\r\nX-A: \x00\r\n\r\n",
		"a body of a GET":       "GET /v1/models HTTP/1.1\r\nHost: us\r\nContent-Length: 2\r\n\r\nab",
		"many fields":           "GET /v1/models HTTP/1.1\r\nHost: us\r\n" + many + "\r\n",
		"a great head":          "GET /v1/models HTTP/1.1\r\nHost: us\r\nX-B: " + strings.Repeat("b", 17<<10) + "\r\n\r\n",
		"upgrading":             "GET /v1/models HTTP/1.1\r\nHost: us\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"nonsense":              "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
	} {
		for _, before := range []string{"", post("/v1/x", "", "first")} {
			t.Run(name+" after "+strconv.Itoa(len(before)), func(t *testing.T) {
				t.Parallel()
				b := setup(t, echo)
				c, r := b.dial(t)
				_, _ = io.WriteString(c, before+request)
				if before != "" {
					if _, got := receive(t, r); !strings.HasSuffix(got, " first") {
						t.Fatalf("got %q", got)
					}
				}
				got, _ := http.ReadResponse(r, nil)
				if got == nil {
					t.Fatal("net/http did not answer")
				}
				defer got.Body.Close()
				body, _ := io.ReadAll(got.Body)

				alone := setup(t, echo, func(c *http1.Config) { c.Mine = func(string) bool { return false } })
				c, r = alone.dial(t)
				_, _ = io.WriteString(c, request)
				want, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer want.Body.Close()
				wanted, _ := io.ReadAll(want.Body)
				if got.StatusCode != want.StatusCode || string(body) != string(wanted) {
					t.Errorf("got %d %q; net/http alone says %d %q", got.StatusCode, body, want.StatusCode, wanted)
				}
				if n := b.fromFront.Load(); int(n) != min(1, len(before)) {
					t.Errorf("%d requests were served here", n)
				}
			})
		}
	}
}

func TestServe_streamsEachPieceAtOnce(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = control.Flush()
			<-next
		}
	})
	c, r := b.dial(t)
	for range 2 {
		_, _ = io.WriteString(c, post("/v1/x", "", "{}"))
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.Header.Get("Content-Type") != "text/event-stream" || res.TransferEncoding[0] != "chunked" || res.Header.Get("Date") == "" {
			t.Fatalf("got %v, %v", res, err)
		}
		buf := make([]byte, 100)
		for i := range 3 {
			n, err := res.Body.Read(buf)
			if want := fmt.Sprintf("data: %d\n\n", i); string(buf[:n]) != want || err != nil {
				t.Fatalf("got %q, %v; want %q", buf[:n], err, want)
			}
			next <- struct{}{}
		}
		if n, err := res.Body.Read(buf); n != 0 || err != io.EOF {
			t.Fatalf("after the end: %d bytes, %v", n, err)
		}
		_ = res.Body.Close()
	}
}

func TestServe_answersAreWhole(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 100_000)
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/none":
			w.WriteHeader(http.StatusNoContent)
		case "/v1/empty":
		case "/v1/big":
			_, _ = io.WriteString(w, big)
		case "/v1/said":
			w.Header().Set("Content-Length", strconv.Itoa(len(big)))
			w.Header().Set("X-Evil", "a\r\nSet-Cookie: b")
			_, _ = io.WriteString(w, big[:70_000])
			_, _ = io.WriteString(w, big[70_000:])
		case "/v1/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "abc")
		}
	})
	c, r := b.dial(t)
	for path, want := range map[string]string{"none": "", "empty": "", "big": big, "said": big} {
		_, _ = io.WriteString(c, "GET /v1/"+path+" HTTP/1.1\r\nHost: us\r\n\r\n")
		res, body := receive(t, r)
		if body != want || res.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d bytes, %v", path, len(body), res.header)
		}
	}
	_, _ = io.WriteString(c, "GET /v1/short HTTP/1.1\r\nHost: us\r\n\r\n")
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("an answer of three bytes passes for one of ten: %q", text)
	}
}

func TestServe_bothServersAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, echo)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	t.Cleanup(client.CloseIdleConnections)
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for i := range 50 {
				path := [...]string{"/v1/x", "/other"}[(worker+i)%2]
				text := fmt.Sprintf("%d/%d", worker, i)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.addr+path, strings.NewReader(text))
				if err != nil {
					t.Error(err)
					return
				}
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if want := "POST " + path + " " + b.addr + "  " + text; string(body) != want || err != nil {
					t.Errorf("got %q, %v; want %q", body, err, want)
				}
			}
		})
	}
	all.Wait()
}
