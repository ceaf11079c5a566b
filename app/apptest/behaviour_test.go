package apptest_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// behind starts a serve whose model "outside" is answered by a handler. As with
// clients, what the kernel keeps for it is on our side little.
func behind(t *testing.T, h http.HandlerFunc) (*site, *replica) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"outside","object":"model"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Request-Id") == "" { // a canary
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}]}`)
			return
		}
		h(w, r)
	})
	engine := httptest.NewUnstartedServer(mux)
	engine.Config.ConnState = func(conn net.Conn, s http.ConnState) {
		if tcp, ok := conn.(*net.TCPConn); ok && s == http.StateNew {
			_ = tcp.SetWriteBuffer(64 << 10)
		}
	}
	engine.Start()
	t.Cleanup(engine.Close)
	s, serve := newSite(t, dbtest.URL(t), "")
	serve.addEndpoint("outside", "outside", strings.TrimPrefix(engine.URL, "http://"))
	serve.ready("outside")
	return s, serve
}

// TestAbandon_F33_theEngineIsCutOff leaves 20 streams and 20 answers that are
// being generated, over TCP, and looks when the engine hears of it.
func TestAbandon_F33_theEngineIsCutOff(t *testing.T) {
	t.Parallel()
	heard := make(chan time.Time, 1)
	begun := make(chan struct{}, 1)
	_, serve := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
		begun <- struct{}{}
		<-r.Context().Done()
		heard <- time.Now()
	})
	limit := 500 * time.Millisecond
	if *figures == "" {
		limit *= 4 // beside other tests
	}
	var rows [][]any
	for _, kind := range []string{"streams", "whole answers"} {
		worst, within := time.Duration(0), 0
		for range 20 {
			ctx, leave := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+serve.people+"/v1/chat/completions", strings.NewReader(chat("outside", kind == "streams", 0)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Authorization": {"Bearer " + serve.site.key}, "Content-Type": {"application/json"}}
			got := make(chan struct{})
			go func() {
				defer close(got)
				res, err := http.DefaultClient.Do(req)
				if err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			}()
			<-begun
			left := time.Now()
			leave()
			select {
			case at := <-heard:
				if took := at.Sub(left); took < limit {
					within++
					worst = max(worst, took)
				}
			case <-time.After(10 * time.Second):
			}
			<-got
		}
		if within != 20 {
			t.Errorf("%d of 20 %s were cut off within %s", within, kind, limit)
		}
		rows = append(rows, []any{kind, 20, within, worst.Round(time.Millisecond)})
	}
	figure(t, "Abandoned requests", []string{"of", "abandoned", "cut off at the engine in < 0.5 s", "slowest"}, rows...)
}

// TestDeath_aStreamThatBreaksOffIsNeverWhole has an engine die at 100 moments: by
// a reset or an end of its connection, before, between and inside of events.
func TestDeath_aStreamThatBreaksOffIsNeverWhole(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s, serve := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		i := n.Add(1)
		moment := rand.New(rand.NewPCG(uint64(i), 36))
		w.Header().Set("Content-Type", "text/event-stream")
		text := strings.Repeat(piece, 5) + done
		_, _ = io.WriteString(w, text[:moment.IntN(len(text)-len(done)+1)]) // all of it but [DONE], at most
		_ = http.NewResponseController(w).Flush()
		if i%2 == 0 {
			panic(http.ErrAbortHandler) // otherwise the body ends in order, which is no better
		}
	})
	const deaths = 100
	told, refused, whole := 0, 0, 0
	for range deaths {
		status, text := serve.call(http.MethodPost, "/v1/chat/completions", s.key, chat("outside", true, 0))
		switch {
		case strings.Contains(text, "[DONE]"):
			whole++
		case status == http.StatusOK && strings.Contains(text, `data: {"error":`):
			told++
		case status >= 500 && strings.Contains(text, `{"error":`):
			refused++
		}
	}
	if whole != 0 || told+refused != deaths {
		t.Errorf("of %d deaths %d look whole, %d came as an event, %d as an answer", deaths, whole, told, refused)
	}
	figure(t, "Engines that die in a stream", []string{"deaths", "false [DONE]", "told by an event", "told by an answer, before the first event"}, []any{deaths, whole, told, refused})
}

// TestInstant_nothingIsTruncated has an engine that answers before it has read
// the request, whole and at once: golang/go#40747.
func TestInstant_nothingIsTruncated(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat(piece, 20) + done
	s, serve := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, whole)
	})
	streams := int64(5000)
	if slow {
		streams = 500
	}
	var next, good atomic.Int64
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for next.Add(1) <= streams {
				if status, text := serve.call(http.MethodPost, "/v1/chat/completions", s.key, chat("outside", true, 0)); status == http.StatusOK && text == whole {
					good.Add(1)
				}
			}
		})
	}
	clients.Wait()
	if good.Load() != streams {
		t.Errorf("%d of %d streams were whole", good.Load(), streams)
	}
	figure(t, "An engine that answers at once", []string{"streams", "truncated"}, []any{streams, streams - good.Load()})
	rows := func() int {
		return s.count(fmt.Sprintf(`SELECT count(*) FROM gateway.usage_records WHERE model = '%s' AND status = 'completed'`, "outside"))
	}
	s.within(20*time.Second, "each has a record", func() bool { return int64(rows()) == streams })
}
