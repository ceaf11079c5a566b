package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// replicaOf returns what the gateway knows of the n-th replica.
func (b *bed) replicaOf(n int) *balance.Replica {
	return b.table.Load().targets[b.instances.order[n]].replica
}

func (b *bed) reloaded(t testing.TB) {
	t.Helper()
	if _, err := b.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// servedBy sends n requests and counts the good answers by replica.
func (b *bed) servedBy(t testing.TB, n int) map[int]int {
	t.Helper()
	before := len(b.stored(t))
	for range n {
		if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK || text(t, res) == "" {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	served := map[int]int{}
	for _, r := range b.stored(t)[before:] {
		for i, id := range b.instances.order {
			if id == r.UpstreamID {
				served[i]++
			}
		}
	}
	return served
}

// TestServe_F17_anEngineThatIsDeadBehindItsAPI answers /health and /v1/models
// like a well one.
func TestServe_F17_anEngineThatIsDeadBehindItsAPI(t *testing.T) {
	t.Parallel()
	var dead atomic.Bool
	var canaries atomic.Int64
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"ping"`) {
			canaries.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		if dead.Load() && r.Method == http.MethodPost {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, wholeAnswer)
	}), answering(t, 200, "application/json", wholeAnswer))
	b.origin = time.Now().Add(-time.Hour)
	second := b.instances.order[1]
	b.instances.order = b.instances.order[:1]
	b.reloaded(t)
	if _, err := b.sendCanaries(t.Context()); err != nil || canaries.Load() != 0 {
		t.Errorf("the only replica was sent %d canaries, %v", canaries.Load(), err)
	}
	b.instances.order = append(b.instances.order, second)
	b.reloaded(t)
	pass := func(want int) {
		t.Helper()
		if n, err := b.sendCanaries(t.Context()); n != want || err != nil {
			t.Fatalf("%d replicas changed, want %d; %v", n, want, err)
		}
	}
	pass(0)
	if canaries.Load() != 1 {
		t.Fatalf("%d canaries were sent", canaries.Load())
	}
	if served := b.servedBy(t, 40); served[0] == 0 || served[1] == 0 {
		t.Fatalf("served by %v", served)
	}
	dead.Store(true)
	pass(0) // both have moved just now
	if canaries.Load() != 1 {
		t.Error("a canary was sent to a replica that moves")
	}
	b.origin = b.origin.Add(-time.Minute)
	pass(0)
	pass(0)
	b.replicaOf(0).Moved(b.now()) // it has generated for somebody: those two count no more
	pass(0)
	b.origin = b.origin.Add(-time.Minute)
	pass(0)
	pass(0)
	pass(1)
	if 4*canaryEvery+canaryTime > 45*time.Second { // the first one may come two periods after the last token
		t.Error("it takes more than 45 s until three have failed")
	}
	if s := b.replicaOf(0).State(); !s.Ejected || s.Cause != balance.Canary {
		t.Errorf("state = %+v", s)
	}
	if served := b.servedBy(t, 20); served[1] != 20 {
		t.Errorf("served by %v", served)
	}
	dead.Store(false)
	pass(1)
	if served := b.servedBy(t, 40); served[0] == 0 {
		t.Errorf("back again, served by %v", served)
	}
	if n := len(b.stored(t)); n != 100 {
		t.Errorf("%d usage records of 100 requests: canaries have none", n)
	}
}

// TestServe_F18_anEngineThatCrashesInFiftyStreams has no other replica at first.
func TestServe_F18_anEngineThatCrashesInFiftyStreams(t *testing.T) {
	t.Parallel()
	const clients = 50
	crash := make(chan struct{})
	var crashed atomic.Bool
	var begun atomic.Int64
	a := engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if crashed.Load() {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, piece+piece)
		_ = http.NewResponseController(w).Flush()
		begun.Add(1)
		<-crash
		panic(http.ErrAbortHandler)
	})
	b := newBed(t, dbtest.New(t), a)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			got := text(t, b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`)))
			if !strings.HasPrefix(got, piece+piece+`data: {"error":`) || !strings.Contains(got, codeLost) || strings.Contains(got, "[DONE]") {
				t.Errorf("a client got %q", got)
			}
		})
	}
	eventually(t, 10*time.Second, "all stream", func() bool { return begun.Load() == clients })
	if n := b.replicaOf(0).InFlight(); n != clients {
		t.Errorf("%d requests in flight", n)
	}
	crashed.Store(true)
	at := time.Now()
	close(crash)
	all.Wait()
	if took := time.Since(at); took > 5*time.Second {
		t.Errorf("the clients were told after %s", took)
	}
	eventually(t, 5*time.Second, "nothing is in flight", func() bool { return b.replicaOf(0).InFlight() == 0 })
	for _, r := range b.stored(t) {
		if r.Status != "interrupted" || r.Error != codeLost || r.CompletionTokens != 2 || r.UsageSource != "counted" || r.Cost == 0 {
			t.Errorf("record = %+v", r)
		}
	}
	res := b.ask(t, "/v1/chat/completions", chatBody(""))
	if res.StatusCode != http.StatusServiceUnavailable || code(t, res) != codeUnreachable || res.Header.Get("Retry-After") == "" {
		t.Errorf("without another replica: %d %v", res.StatusCode, res.Header)
	}
	b.instances.add(answering(t, 200, "application/json", wholeAnswer))
	b.reloaded(t)
	if served := b.servedBy(t, 20); served[1] != 20 {
		t.Errorf("with another replica, served by %v", served)
	}
}

// TestServe_F20_aReplicaWithoutATunnel: the tunnel tells within ten seconds that
// the agent is cut off (TestDialer_comesBack_F20), and then refuses to open streams.
func TestServe_F20_aReplicaWithoutATunnel(t *testing.T) {
	t.Parallel()
	good := answering(t, 200, "application/json", wholeAnswer)
	b := newBed(t, dbtest.New(t), good, good)
	b.instances.cut.Store(&b.instances.order[0])
	if served := b.servedBy(t, 30); served[1] != 30 {
		t.Errorf("served by %v", served)
	}
	if s := b.replicaOf(0).State(); !s.Ejected || s.Cause != balance.Connection || s.InFlight != 0 {
		t.Errorf("state = %+v", s)
	}
	if n := b.instances.opened.Load(); n > 4 { // one for the first request, others for trials
		t.Errorf("it was dialled %d times for 30 requests", n)
	}
	b.instances.cut.Store(nil)
	b.origin = b.origin.Add(-10 * time.Minute) // any pause is over
	if served := b.servedBy(t, 30); served[0] == 0 {
		t.Errorf("back again, served by %v", served)
	}
	if b.replicaOf(0).State().Ejected {
		t.Error("still ejected")
	}
}

func TestReload_workWithoutTokensEjects(t *testing.T) {
	t.Parallel()
	good := answering(t, 200, "application/json", wholeAnswer)
	b := newBed(t, dbtest.New(t), good, good)
	report := func(generated int64) {
		t.Helper()
		b.origin = b.origin.Add(-20 * time.Second)
		b.instances.gauges = balance.Gauges{At: b.origin, Running: 2, Generated: generated}
		b.reloaded(t)
	}
	for range 3 {
		report(7)
		if b.replicaOf(0).State().Ejected {
			t.Fatal("ejected after less than a minute")
		}
	}
	report(7)
	if s := b.replicaOf(0).State(); !s.Ejected || s.Cause != balance.Stalled {
		t.Errorf("state = %+v", s)
	}
	if served := b.servedBy(t, 4); len(served) == 0 {
		t.Error("with all ejected nobody serves")
	}
	b.origin = b.origin.Add(-time.Second) // tokens are noted to the second
	report(8)
	if b.replicaOf(1).State().Ejected {
		t.Error("a token does not bring it back")
	}
}

func TestReload_aDrainingReplicaFinishesWhatItHas(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, piece)
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, piece+"data: [DONE]\n\n")
	}))
	res := b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`))
	if _, err := io.ReadFull(res.Body, make([]byte, len(piece))); err != nil {
		t.Fatal(err)
	}
	old := b.replicaOf(0)
	b.instances.order = nil // it drains: no route leads to it
	b.instances.add(answering(t, 200, "application/json", wholeAnswer))
	b.reloaded(t)
	if served := b.servedBy(t, 10); served[0] != 10 {
		t.Errorf("served by %v", served)
	}
	if old.InFlight() != 1 {
		t.Errorf("it has %d requests", old.InFlight())
	}
	close(more)
	if got := text(t, res); got != piece+"data: [DONE]\n\n" {
		t.Errorf("the stream ends with %q", got)
	}
	eventually(t, 5*time.Second, "nothing is in flight", func() bool { return old.InFlight() == 0 })
}

// TestAttempt_givesItsPlaceBackOnce runs everything that ends a request.
func TestAttempt_givesItsPlaceBackOnce(t *testing.T) {
	t.Parallel()
	var turn atomic.Int64
	b := newBed(t, dbtest.New(t))
	for range 3 {
		b.instances.add(engine(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			switch turn.Add(1) % 6 {
			case 0:
				panic(http.ErrAbortHandler)
			case 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				_, _ = io.WriteString(w, piece)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			case 3:
				_, _ = io.WriteString(w, piece)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			case 4:
				_, _ = io.WriteString(w, "data: nonsense\n\n")
			default:
				_, _ = io.WriteString(w, piece+"data: [DONE]\n\n")
			}
		}))
	}
	b.reloaded(t)
	var all sync.WaitGroup
	for c := range 12 {
		all.Go(func() {
			for range 10 {
				ctx, leave := context.WithTimeout(t.Context(), time.Duration(c+1)*3*time.Millisecond)
				res, err := http.DefaultClient.Do(b.request(t, "/v1/chat/completions", chatBody(`"stream":true,`)).WithContext(ctx))
				if err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				} else if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a client got %v", err)
				}
				leave()
				b.reloaded(t)
			}
		})
	}
	all.Wait()
	for n := range 3 {
		eventually(t, 5*time.Second, "nothing is in flight", func() bool { return b.replicaOf(n).InFlight() == 0 })
	}
}

func TestPick_aSessionKeepsItsReplica(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("You answer questions about one and the same book. ", 30)
	var forwarded atomic.Bool
	b := newBed(t, dbtest.New(t))
	for range 6 {
		b.instances.add(engine(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.Header.Get("X-Inventiv-Session") != "" {
				forwarded.Store(true)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, wholeAnswer)
		}))
	}
	b.reloaded(t)
	for name, ask := range map[string]func(i int) *http.Request{
		"named session": func(int) *http.Request {
			req := b.request(t, "/v1/chat/completions", chatBody(""))
			req.Header.Set("X-Inventiv-Session", "conversation 7")
			return req
		},
		"common prefix": func(i int) *http.Request {
			return b.request(t, "/v1/chat/completions", `{"model":"`+model+`","seed":`+strings.Repeat("1", i+1)+
				`,"messages":[{"role":"system","content":"`+long+`"},{"role":"user","content":"question `+strings.Repeat("x", i)+`"}]}`)
		},
	} {
		before := len(b.stored(t))
		for i := range 10 {
			if res := b.send(t, ask(i)); res.StatusCode != http.StatusOK {
				t.Fatalf("got %d", res.StatusCode)
			}
		}
		records := b.stored(t)[before:]
		for _, r := range records {
			if r.UpstreamID != records[0].UpstreamID {
				t.Errorf("%s: served by two replicas", name)
				break
			}
		}
	}
	if served := b.servedBy(t, 60); len(served) < 4 {
		t.Errorf("requests that have nothing in common were served by %v", served)
	}
	if forwarded.Load() {
		t.Error("the session's name reached an engine")
	}
}
