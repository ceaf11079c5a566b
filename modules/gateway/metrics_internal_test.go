package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// figures returns the histograms and counters of a bed by name and labels.
func figures(t *testing.T, b *bed) map[string]*dto.Metric {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*dto.Metric{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				name = append(name, strings.TrimPrefix(l.GetName(), "gen_ai_")+"="+l.GetValue())
			}
			all[strings.Join(name, " ")] = m
		}
	}
	return all
}

// A wait for room, for a model to wake, or for a server that does not take the
// request is no overhead of ours.
func TestMetrics_overheadIsNoWait(t *testing.T) {
	t.Parallel()
	const wait = 500 * time.Millisecond
	later := func() <-chan time.Time { return time.After(wait) }
	quick := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, wholeAnswer) }
	for name, prepare := range map[string]func(t *testing.T) (*bed, int){
		"for room": func(t *testing.T) (*bed, int) {
			t.Helper()
			var first sync.Once
			b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
				first.Do(func() { <-later() })
				quick(w, r)
			}))
			b.limits.replica = 1
			b.reloaded(t)
			return b, 2
		},
		"for a model to wake": func(t *testing.T) (*bed, int) {
			t.Helper()
			b := asleep(t, Sleeping{State: Waking}, time.Minute)
			to := engine(t, quick)
			go func() {
				<-later()
				b.wakes(to)
				_, _ = b.reload(t.Context())
			}()
			return b, 1
		},
		"for a server that is busy": func(t *testing.T) (*bed, int) {
			t.Helper()
			var first atomic.Bool
			either := func(w http.ResponseWriter, r *http.Request) {
				if first.CompareAndSwap(false, true) {
					<-later()
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				quick(w, r)
			}
			return newBed(t, dbtest.New(t), engine(t, either), engine(t, either)), 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, asks := prepare(t)
			var all sync.WaitGroup
			from := time.Now()
			for range asks {
				all.Go(func() {
					if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK {
						t.Errorf("got %d %s", res.StatusCode, text(t, res))
					}
				})
			}
			all.Wait()
			took := time.Since(from)
			var h *dto.Histogram
			eventually(t, 5*time.Second, "all are counted", func() bool {
				h = figures(t, b)["inventiv_gateway_overhead_seconds"].GetHistogram()
				return h.GetSampleCount() == uint64(asks)
			})
			if took < wait || h.GetSampleSum() > wait.Seconds()/2 {
				t.Errorf("%d requests took %s, of which %v s are overhead", asks, took, h.GetSampleSum())
			}
		})
	}
}

// A client that sends slowly and takes its answer slowly costs no work of ours.
func TestMetrics_overheadIsNotTheClients(t *testing.T) {
	t.Parallel()
	const wait = 500 * time.Millisecond
	great := strings.Repeat("x", 6<<20)
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 12 {
				_, _ = io.WriteString(w, strings.Replace(piece, `"x"`, `"`+great[:512<<10]+`"`, 1))
			}
			_, _ = io.WriteString(w, "data: [DONE]\n\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, strings.Replace(wholeAnswer, `{"id"`, `{"x":"`+great+`","id"`, 1))
	}))
	for _, stream := range []string{"", `"stream":true,`} {
		body, send := io.Pipe()
		go func() {
			half := len(chatBody(stream)) / 2
			_, _ = io.WriteString(send, chatBody(stream)[:half])
			<-time.After(wait)
			_, _ = io.WriteString(send, chatBody(stream)[half:])
			_ = send.Close()
		}()
		req := b.request(t, "/v1/chat/completions", "")
		req.Body, req.ContentLength = body, -1
		res := b.send(t, req)
		<-time.After(wait)
		if got := text(t, res); res.StatusCode != http.StatusOK || len(got) < len(great)/2 {
			t.Fatalf("%d and %d bytes", res.StatusCode, len(got))
		}
	}
	var h *dto.Histogram
	eventually(t, 5*time.Second, "both are counted", func() bool {
		h = figures(t, b)["inventiv_gateway_overhead_seconds"].GetHistogram()
		return h.GetSampleCount() == 2
	})
	if h.GetSampleSum() > wait.Seconds()/2 {
		t.Errorf("%v s are overhead", h.GetSampleSum())
	}
}

func TestMetrics_sayWhatOperatorsLookFor(t *testing.T) {
	t.Parallel()
	const wait = 30 * time.Millisecond
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		<-time.After(wait)
		if strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, piece+"data: [DONE]\n\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, wholeAnswer)
	}))
	text(t, b.ask(t, "/v1/chat/completions", chatBody("")))
	text(t, b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`)))
	text(t, b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "a secret\"}", 1)))
	got := figures(t, b)
	chat := " operation_name=chat request_model=" + model
	for name, want := range map[string]struct {
		count    uint64
		from, to float64 // of the sum
	}{
		"gen_ai_client_token_usage" + chat + " token_type=input":  {1, 9, 9},
		"gen_ai_client_token_usage" + chat + " token_type=output": {1, 2, 2},
		"gen_ai_server_request_duration_seconds" + chat:           {2, 2 * wait.Seconds(), 20},
		"gen_ai_server_time_to_first_token_seconds" + chat:        {1, wait.Seconds(), 10},
		"inventiv_gateway_overhead_seconds":                       {2, 0, wait.Seconds()}, // none of the server's time
	} {
		h := got[name].GetHistogram()
		if h.GetSampleCount() != want.count || h.GetSampleSum() < want.from || h.GetSampleSum() > want.to {
			t.Errorf("%s: %d samples, sum %v; want %d and %v to %v", name, h.GetSampleCount(), h.GetSampleSum(), want.count, want.from, want.to)
		}
	}
	labels := map[string]bool{
		"path": true, "status": true, "code": true, "direction": true, "cause": true, "kind": true, "replica": true, "le": true,
		"gen_ai_operation_name": true, "gen_ai_request_model": true, "gen_ai_token_type": true,
	}
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.HasPrefix(f.GetName(), "inventiv_gateway_") && !labels[l.GetName()] {
					t.Errorf("%s has the label %s=%q, of which nobody has thought", f.GetName(), l.GetName(), l.GetValue())
				}
				for _, private := range []string{"hello", "secret", goodKey, b.keyID.String(), b.organisation.String()} {
					if strings.Contains(l.GetValue(), private) {
						t.Errorf("%s: the label %s holds %q", f.GetName(), l.GetName(), l.GetValue())
					}
				}
			}
		}
	}
	for _, name := range []string{
		"requests_total", "request_duration_seconds", "time_to_first_token_seconds", "tokens_total", "overhead_seconds", "requests_in_flight",
		"spool_bytes", "spool_kept_bytes", "spool_bad_bytes_total", "usage_set_aside_total", "usage_forgotten_total", "errors_total", "retries_total", "fallbacks_total",
	} {
		if !names["inventiv_gateway_"+name] {
			t.Errorf("there is no inventiv_gateway_%s", name)
		}
	}
	for name := range got {
		if strings.Contains(name, "secret") || strings.Contains(name, goodKey) || strings.Contains(name, b.keyID.String()) {
			t.Errorf("a label holds what it must not: %s", name)
		}
	}
}
