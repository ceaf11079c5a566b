package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// between starts an engine and, before it, what passes requests on to it. It
// returns the latter's address and the engine's count of connections.
func between(t *testing.T, h http.HandlerFunc) (url string, dials *atomic.Int32, drop func()) {
	t.Helper()
	dials = &atomic.Int32{}
	engine := httptest.NewUnstartedServer(h)
	engine.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dials.Add(1)
		}
	}
	engine.Start()
	to := newWay(engine.Listener.Addr().String())
	front := httptest.NewServer(http.HandlerFunc(to.pass))
	t.Cleanup(func() { front.Close(); to.server.Close(); engine.Close() })
	return front.URL, dials, engine.CloseClientConnections
}

// post sends a chat request and returns the answer.
func post(t *testing.T, url string, body io.Reader) (status int, header http.Header, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("the answer is cut off: %v", err)
	}
	return res.StatusCode, res.Header, string(all)
}

func TestPass_bodiesOfEverySize(t *testing.T) {
	t.Parallel()
	url, dials, _ := between(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/plain")
		if len(body)%2 == 0 {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		_, _ = w.Write(body)
	})
	for _, size := range []int{0, 1, 100, copySpace, copySpace + 1, keepSpace, 200_001, 3 << 20} {
		body := strings.Repeat("x", size)
		for _, sent := range []io.Reader{strings.NewReader(body), io.MultiReader(strings.NewReader(body))} { // by length, in chunks
			status, header, got := post(t, url, sent)
			if got != body || status != http.StatusOK || header.Get("Content-Type") != "text/plain" {
				t.Errorf("%d bytes came back as %d with %d", size, len(got), status)
			}
		}
	}
	if n := dials.Load(); n > 4 { // an answer may be whole before its connection is free again
		t.Errorf("%d connections for requests one after another", n)
	}
}

func TestPass_refusesEndlessRequests(t *testing.T) {
	t.Parallel()
	url, dials, _ := between(t, func(http.ResponseWriter, *http.Request) {})
	_, address, _ := strings.Cut(url, "//")
	to := newWay(address)
	for name, length := range map[string]int64{"by its length": maxRequest + 1, "in chunks": -1} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", io.LimitReader(zeros{}, maxRequest+1))
		r.ContentLength = length
		w := httptest.NewRecorder()
		to.pass(w, r)
		if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "request_too_large") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if dials.Load() != 0 {
		t.Error("the engine was reached")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestPass_refusalsOfTheEngineComeBack(t *testing.T) {
	t.Parallel()
	url, _, _ := between(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("X-Internal", "not for others")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"error":"busy"}`)
	})
	status, header, text := post(t, url, strings.NewReader("{}"))
	if status != http.StatusTooManyRequests || header.Get("Retry-After") != "7" || text != `{"error":"busy"}` || header.Get("X-Internal") != "" {
		t.Errorf("got %d %v %s", status, header, text)
	}
}

// Engines close connections that were idle for a few seconds.
func TestPass_survivesConnectionsThatTheEngineCloses(t *testing.T) {
	t.Parallel()
	url, dials, drop := between(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "well") })
	for range 5 {
		if status, _, text := post(t, url, strings.NewReader("{}")); status != http.StatusOK || text != "well" {
			t.Errorf("got %d %s", status, text)
		}
		drop()
	}
	if n := dials.Load(); n != 5 {
		t.Errorf("%d connections, want a new one each time", n)
	}
}

func TestPass_saysThatTheEngineIsAway(t *testing.T) {
	t.Parallel()
	url, _, _ := between(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if status, _, text := post(t, url, strings.NewReader("{}")); status != http.StatusBadGateway || !strings.Contains(text, "engine_broke_off") {
		t.Errorf("got %d %s", status, text)
	}
}

func TestPass_cancelReachesTheEngine(t *testing.T) {
	t.Parallel()
	asked, left := make(chan struct{}), make(chan struct{})
	url, _, _ := between(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // net/http looks after its client from then on
		if r.Header.Get("X-Request-Id") == "stream" {
			fmt.Fprint(w, "data: one\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		asked <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	for _, id := range []string{"silent", "stream"} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader("{}"))
			if err != nil {
				ended <- err
				return
			}
			r.Header.Set("X-Request-Id", id)
			res, err := http.DefaultTransport.RoundTrip(r)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			ended <- err
		}()
		<-asked
		start := time.Now()
		cancel()
		<-left
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: the cancel took %s", id, took)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
