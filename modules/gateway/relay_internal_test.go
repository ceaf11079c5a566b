package gateway

import (
	"context"
	"errors"
	"io"
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

const piece = `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}` + "\n\n"

// patient is an upstream that generates slowly and notes who was cut off.
type patient struct {
	started, cancelled atomic.Int64
}

func (p *patient) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.started.Add(1)
	streamed := strings.Contains(string(body), `"stream":true`) && !strings.Contains(string(body), `"wait":true`)
	if streamed {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			p.cancelled.Add(1)
			return
		case <-tick.C:
			if streamed {
				_, _ = io.WriteString(w, piece)
				_ = http.NewResponseController(w).Flush()
			}
		}
	}
}

// TestF33_aClientThatLeavesStopsTheUpstream leaves 20 times in each situation.
func TestF33_aClientThatLeavesStopsTheUpstream(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	for name, tt := range map[string]struct {
		body   string
		pieces bool // leave after the first piece
	}{
		"in a stream":                 {chatBody(`"stream":true,`), true},
		"before the first token":      {chatBody(`"stream":true,"wait":true,`), false},
		"while waiting for an answer": {chatBody(""), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &patient{}
			b := newBed(t, pool, engine(t, p.ServeHTTP))
			const clients = 20
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					req := b.request(t, "/v1/chat/completions", tt.body).WithContext(ctx)
					if !tt.pieces {
						go func() {
							eventually(t, 10*time.Second, "all have begun", func() bool { return p.started.Load() == clients })
							leave()
						}()
					}
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						return
					}
					defer res.Body.Close()
					_, _ = io.ReadFull(res.Body, make([]byte, len(piece)))
				})
			}
			all.Wait()
			eventually(t, 5*time.Second, "the upstream is cut off", func() bool { return p.cancelled.Load() == clients })
			eventually(t, 5*time.Second, "20 interrupted records", func() bool { return len(b.stored(t)) == clients })
			for _, r := range b.stored(t) {
				if r.Status != "interrupted" || r.Error != codeClientGone || (r.CompletionTokens > 0) != tt.pieces || (r.UsageSource == "counted") != tt.pieces {
					t.Errorf("record = %+v", r)
				}
			}
		})
	}
}

// TestServe_anInstantUpstreamTruncatesNothing is golang/go#40747: a body that is
// still being sent when the answer comes must not cut the answer off.
func TestServe_anInstantUpstreamTruncatesNothing(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat(piece, 20) + "data: [DONE]\n\n"
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, _ *http.Request) { // does not read the body
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, whole)
	}))
	for range 300 {
		if got := text(t, b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`))); got != whole {
			t.Fatalf("got %d bytes, want %d", len(got), len(whole))
		}
	}
}

func TestServe_triesAnotherReplicaBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	good := answering(t, 200, "application/json", wholeAnswer)
	cut := engine(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	stream := engine(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, piece+"data: [DONE]\n\n")
	})
	for name, tt := range map[string]struct{ first, second, body string }{
		"refused connection":          {"http://127.0.0.1:1", good, chatBody("")},
		"503":                         {answering(t, 503, "application/json", `{}`), good, chatBody("")},
		"died before the first event": {cut, stream, chatBody(`"stream":true,`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, pool, tt.first, tt.second)
			for range 6 { // whoever's turn it is
				if res := b.ask(t, "/v1/chat/completions", tt.body); res.StatusCode != http.StatusOK || text(t, res) == "" {
					t.Fatalf("got %d", res.StatusCode)
				}
			}
			records := b.stored(t)
			if len(records) != 6 {
				t.Errorf("%d records, want 6", len(records))
			}
			for _, r := range records {
				if r.Status != "completed" || r.UpstreamID != b.instances.order[1] {
					t.Errorf("record = %+v", r)
				}
			}
		})
	}
	// An answer that is a judgement is not asked for twice, and two failures are one.
	var asked atomic.Int64
	counted := func(status int) string {
		return engine(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.WriteHeader(status) })
	}
	b := newBed(t, pool, counted(500), counted(500), counted(500))
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusInternalServerError || asked.Load() != 1 {
		t.Errorf("500: %d after %d attempts", res.StatusCode, asked.Load())
	}
	asked.Store(0)
	b = newBed(t, pool, counted(503), counted(503), counted(503))
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusServiceUnavailable || asked.Load() != 2 {
		t.Errorf("503: %d after %d attempts", res.StatusCode, asked.Load())
	}
}

func TestF35_aSilentUpstreamIsCutOff(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	silent := func(first string) string {
		return engine(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if first != "" {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, first)
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		})
	}
	b := newBed(t, pool, silent(""))
	b.limits.firstByte = 20 * time.Millisecond
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusGatewayTimeout || code(t, res) != codeTimeout {
		t.Errorf("no answer: %d", res.StatusCode)
	}
	b = newBed(t, pool, silent(piece))
	b.limits.gap = 20 * time.Millisecond
	got := text(t, b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`)))
	if !strings.HasPrefix(got, piece+`data: {"error":`) || !strings.Contains(got, codeTimeout) || strings.Contains(got, "[DONE]") {
		t.Errorf("silent in the middle: %s", got)
	}
	endlessLine := engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.Copy(w, io.MultiReader(strings.NewReader(piece+"data: {"), endless{}))
	})
	b = newBed(t, pool, endlessLine)
	if got := text(t, b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`))); !strings.Contains(got, codeBadUpstream) || len(got) > 1000 {
		t.Errorf("a line without end: %.200s", got)
	}
	b = newBed(t, pool, engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.Copy(w, endless{})
	}))
	b.limits.answer = 1 << 20
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusBadGateway || code(t, res) != codeBadUpstream {
		t.Errorf("B36 an answer without end: %d", res.StatusCode)
	}
}

func TestF34_aClientThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	var cut atomic.Bool
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat(piece, 500)); err != nil {
				break
			}
		}
		cut.Store(true)
	}))
	b.limits.write = 50 * time.Millisecond
	res := b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`)) // and reads nothing
	eventually(t, 10*time.Second, "the upstream is cut off", cut.Load)
	if _, err := io.Copy(io.Discard, res.Body); err == nil || errors.Is(err, io.EOF) {
		t.Error("the client sees a clean end")
	}
	eventually(t, 5*time.Second, "an interrupted record", func() bool {
		r := b.stored(t)
		return len(r) == 1 && r[0].Status == "interrupted" && r[0].Error == codeClientGone && r[0].CompletionTokens > 0
	})
}

// gone is a client of whom only writing tells that it is not there.
type gone struct{ *httptest.ResponseRecorder }

func (gone) Write([]byte) (int, error) { return 0, net.ErrClosed }

// TestF34_aFailedWriteStopsTheUpstream has a server that does not end the
// request's context when its client cannot be written to.
func TestF34_aFailedWriteStopsTheUpstream(t *testing.T) {
	t.Parallel()
	p := &patient{}
	b := newBed(t, dbtest.New(t), engine(t, p.ServeHTTP))
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(chatBody(`"stream":true,`)))
	req.Header = http.Header{"Authorization": {"Bearer " + goodKey}, "Content-Type": {"application/json"}}
	b.ServeHTTP(gone{httptest.NewRecorder()}, req)
	eventually(t, 5*time.Second, "the upstream is cut off", func() bool { return p.cancelled.Load() == 1 })
	if r := b.stored(t); len(r) != 1 || r[0].Status != "interrupted" || r[0].Error != codeClientGone || r[0].CompletionTokens == 0 {
		t.Errorf("records = %+v", r)
	}
}
