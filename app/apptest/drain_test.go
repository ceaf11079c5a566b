package apptest_test

import (
	"bufio"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// open begins a stream and returns, once its first token is there, what follows,
// and whether its connection ends with it. An agent that has just come back may
// say once more that its engine starts; then it is asked again, as clients do.
func (r *replica) open(body string) (rest io.Reader, last bool) {
	r.site.t.Helper()
	r.site.within(30*time.Second, "a stream begins", func() bool {
		req, err := http.NewRequestWithContext(r.site.t.Context(), http.MethodPost, "http://"+r.people+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			r.site.t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer " + r.site.key}, "Content-Type": {"application/json"}}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			r.site.t.Fatal(err)
		}
		r.site.t.Cleanup(func() { _ = res.Body.Close() })
		events := bufio.NewReader(res.Body)
		line, err := events.ReadString('\n')
		if err == nil && strings.HasPrefix(line, "data: ") {
			rest, last = events, res.Close
			return true
		}
		if res.StatusCode != http.StatusServiceUnavailable {
			r.site.t.Fatalf("no first token: %d %q %v", res.StatusCode, line, err)
		}
		return false
	})
	return rest, last
}

// TestStop_finishesWhatRuns tells serve to end in the middle of 50 streams that
// come through an agent's tunnel.
func TestStop_finishesWhatRuns(t *testing.T) {
	t.Parallel()
	s, serve := newSite(t, dbtest.URL(t), filepath.Join(t.TempDir(), "ledger"))
	serve.stop()
	serve.args = append(serve.args, "--shutdown-delay", "5s")
	serve.start()
	serve.answers(s.model)
	const streams = 50
	var whole atomic.Int64
	var all sync.WaitGroup
	for range streams {
		events, _ := serve.open(chat(s.model, true, 1500))
		all.Go(func() {
			if text, err := io.ReadAll(events); err == nil && strings.HasSuffix(string(text), done) {
				whole.Add(1)
			}
		})
	}
	told := time.Now()
	ended := make(chan int, 1)
	go func() { ended <- serve.stop() }()
	s.within(4*time.Second, "/readyz says no", func() bool {
		status, text := serve.call(http.MethodGet, "/readyz", "", "")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "stopping")
	})
	if _, last := serve.open(chat(s.model, true, 1)); !last { // until the load balancer has noticed
		t.Error("an answer while stopping leaves its connection open")
	}
	all.Wait()
	if n := whole.Load(); n != streams {
		t.Errorf("%d of %d streams were whole", n, streams)
	}
	if code := <-ended; code != 0 {
		t.Errorf("serve ended with %d\n%s", code, s.lastLog())
	}
	t.Logf("ended %s after it was told to", time.Since(told).Round(time.Millisecond))
	if n := s.count(`SELECT count(*) FROM gateway.usage_records WHERE status = 'completed' AND completion_tokens = 1500`); n != streams {
		t.Errorf("%d completed records, want %d", n, streams)
	}
}

// TestStop_cutsWhatIsTooLong gives streams less time than they need.
func TestStop_cutsWhatIsTooLong(t *testing.T) {
	t.Parallel()
	s, serve := newSite(t, dbtest.URL(t), filepath.Join(t.TempDir(), "ledger"))
	serve.stop()
	serve.args = append(serve.args, "--shutdown-timeout", "300ms")
	serve.start()
	serve.answers(s.model)
	events, _ := serve.open(chat(s.model, true, 1_000_000))
	told := time.Now()
	if code := serve.stop(); code != 0 || time.Since(told) > 20*time.Second {
		t.Errorf("serve ended with %d after %s\n%s", code, time.Since(told), s.lastLog())
	}
	if text, _ := io.ReadAll(events); strings.Contains(string(text), "[DONE]") {
		t.Error("the stream that was cut ends with [DONE]")
	}
	if n := s.count(`SELECT count(*) FROM gateway.usage_records WHERE status = 'interrupted' AND completion_tokens > 0`); n != 1 {
		t.Errorf("%d interrupted records with tokens, want 1", n)
	}
}

// TestRestart_F38_twoReplicasOneAfterTheOther restarts both serve on one
// database, twice, under 200 streams that a load balancer spreads: round robin
// over those whose /readyz says yes.
func TestRestart_F38_twoReplicasOneAfterTheOther(t *testing.T) {
	t.Parallel()
	ledger, outside := filepath.Join(t.TempDir(), "ledger"), freeAddress(t)
	start(t, filepath.Join(t.TempDir(), "engine.log"), nil, "engine", outside, ledger)
	s, demo := newSite(t, dbtest.URL(t), "")
	demo.addEndpoint("outside", "outside", outside)
	if code := demo.stop(); code != 0 {
		t.Fatalf("the demo ended with %d\n%s", code, s.lastLog())
	}
	replicas := []*replica{s.replica("a", "--shutdown-delay", "1s"), s.replica("b", "--shutdown-delay", "1s")}
	var in [2]atomic.Bool // what the load balancer believes
	over := make(chan struct{})
	var polls sync.WaitGroup
	defer polls.Wait()
	defer close(over)
	for i, r := range replicas {
		r.start()
		r.ready("outside")
		in[i].Store(true)
		polls.Go(func() {
			for tick := time.NewTicker(20 * time.Millisecond); ; {
				status, _ := r.call(http.MethodGet, "/readyz", "", "")
				in[i].Store(status == http.StatusOK)
				select {
				case <-over:
					tick.Stop()
					return
				case <-tick.C:
				}
			}
		})
	}
	clients, rounds := 200, 2
	if slow {
		clients, rounds = 40, 1
	}
	l := newLoad(t, s, clients, 0, func(n int64) string {
		first := int(n % 2)
		if !in[first].Load() {
			first = 1 - first
		}
		return replicas[first].people
	}, "outside")
	restarts := 0
	for range rounds {
		for _, r := range replicas {
			enough := l.whole.Load() + int64(2*clients)
			s.within(30*time.Second, "requests are answered", func() bool { return l.whole.Load() >= enough })
			if code := r.stop(); code != 0 {
				t.Errorf("serve ended with %d\n%s", code, s.lastLog())
			}
			r.start()
			r.ready("outside")
			restarts++
		}
	}
	l.end()
	refused := l.failures["refused"] // which a load balancer asks elsewhere
	delete(l.failures, "refused")
	if len(l.failures) > 0 {
		t.Errorf("what clients saw besides whole answers: %v", l.failures)
	}
	for _, r := range replicas {
		if code := r.stop(); code != 0 {
			t.Errorf("serve ended with %d\n%s", code, s.lastLog())
		}
	}
	figures := compare(t, s, l, ledger)
	figure(t, "Rolling restart of two replicas", []string{"clients", "restarts", "requests", "answered whole", "failed", "refused and asked elsewhere", "rows", "lost", "double"},
		[]any{clients, restarts, l.sent.Load(), len(l.answered), len(l.failures), refused, figures[2], figures[5], figures[6]})
}
