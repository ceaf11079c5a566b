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

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// asleep is a gateway whose only model sleeps, or is what its state says.
func asleep(t *testing.T, state Sleeping, wait time.Duration) *bed {
	t.Helper()
	b := newBed(t, dbtest.New(t))
	state.Organisation, state.Model = b.organisation, model
	b.instances.sleeping = []Sleeping{state}
	b.limits.wakeWait = wait
	b.reloaded(t)
	return b
}

// wakes gives the model an instance, which the gateway has not seen yet.
func (b *bed) wakes(to string) {
	b.instances.sleeping = nil
	b.instances.add(to)
}

func woken(t *testing.T, b *bed) float64 {
	t.Helper()
	return figures(t, b)["inventiv_gateway_wakes_total"].GetCounter().GetValue()
}

func (b *bed) awaits(t *testing.T, n float64) {
	t.Helper()
	eventually(t, 5*time.Second, "so many wait", func() bool { return b.waiting() == n })
}

func TestWake_aRequestWakesAndIsAnswered(t *testing.T) {
	t.Parallel()
	b := asleep(t, Sleeping{State: Asleep}, time.Minute)
	b.instances.waking = func() (bool, error) { return true, nil }
	const clients = 20
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			body := chatBody("")
			if n%2 == 0 {
				body = chatBody(`"stream":true,`)
			}
			res := b.ask(t, "/v1/chat/completions", body)
			if got := text(t, res); res.StatusCode != http.StatusOK || !strings.Contains(got, "hi") {
				t.Errorf("got %d %s", res.StatusCode, got)
			}
		})
	}
	b.awaits(t, clients)
	if n := len(b.stored(t)); n != 0 {
		t.Errorf("%d usage records of requests that wait", n)
	}
	b.reloaded(t)
	b.instances.sleeping[0].State = Waking
	b.reloaded(t)
	if n := len(b.instances.woken); n != 1 || b.instances.woken[0].KeyID != b.keyID || b.instances.woken[0].Organisation != b.organisation {
		t.Errorf("woken %d times, by %+v", n, b.instances.woken)
	}
	if got := woken(t, b); got != 1 {
		t.Errorf("the metric says %v", got)
	}
	b.wakes(engine(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}`+"\n\ndata: [DONE]\n\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, wholeAnswer)
	}))
	b.reloaded(t)
	all.Wait()
	if n := len(b.stored(t)); n != clients || b.waiting() != 0 {
		t.Errorf("%d usage records, %v wait", n, b.waiting())
	}
	r := b.table.Load().routes[routeKey{b.organisation, model}]
	eventually(t, 5*time.Second, "every place is given back", func() bool { return r.queue.Busy() == 0 })
}

// A great many great requests for a model that sleeps leave room for others.
func TestWake_whoWaitsHoldsHalfOfTheMemory(t *testing.T) {
	t.Parallel()
	b := asleep(t, Sleeping{State: Waking, Message: "Soon."}, time.Minute)
	body := chatBody("")
	b.limits.held = 3 * int64(len(body)) // so that one of them may wait
	ctx, leave := context.WithCancel(t.Context())
	var first sync.WaitGroup
	defer first.Wait()
	defer leave()
	first.Go(func() {
		if res, err := http.DefaultClient.Do(b.request(t, "/v1/chat/completions", body).WithContext(ctx)); err == nil {
			_ = res.Body.Close()
		}
	})
	b.awaits(t, 1)
	res := b.ask(t, "/v1/chat/completions", body)
	if got := text(t, res); res.StatusCode != http.StatusTooManyRequests || !strings.Contains(got, `"code":"model_overloaded"`) || b.waiting() != 1 {
		t.Errorf("a second one: %d %s", res.StatusCode, got)
	}
	leave()
	first.Wait()
	eventually(t, 5*time.Second, "what it held is free", func() bool { return b.parked.Load() == 0 && b.held.Load() == 0 })
}

func TestWake_theDeadlineIsToldHonestly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  Sleeping
		code   string
		status int
		after  string
		says   []string
	}{
		"known": {
			Sleeping{State: Waking, Message: "The instance inst-1 is starting: The engine is loading the model.", Left: 83*time.Second + 200*time.Millisecond},
			"waking", 503, "84", []string{"is being woken", "The engine is loading the model.", "about 1m24s more"},
		},
		"any moment":  {Sleeping{State: Waking, Message: "Soon.", Left: time.Millisecond}, "waking", 503, "1", []string{"about 1s more"}},
		"not known":   {Sleeping{State: Waking, Message: "Replicas are on their way."}, "waking", 503, "30", []string{"is not known yet; try again in 30s"}},
		"stopped":     {Sleeping{State: "stopped"}, "no_ready_replica", 503, "10", []string{"Its state is stopped."}},
		"always kept": {Sleeping{State: "starting"}, "no_ready_replica", 503, "10", []string{"Its state is starting."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := asleep(t, c.state, 10*time.Millisecond)
			res := b.ask(t, "/v1/chat/completions", chatBody(""))
			got := text(t, res)
			if res.StatusCode != c.status || res.Header.Get("Retry-After") != c.after || res.Header.Get("X-Should-Retry") != "true" || !strings.Contains(got, c.code) {
				t.Errorf("got %d %v %s", res.StatusCode, res.Header, got)
			}
			for _, s := range c.says {
				if !strings.Contains(got, s) {
					t.Errorf("%q is not in %s", s, got)
				}
			}
			b.reloaded(t)
			if len(b.instances.woken) != 0 || len(b.stored(t)) != 0 {
				t.Errorf("woken %v, or on record", b.instances.woken)
			}
		})
	}
}

// TestWake_whoMayNotUseItWakesNothing has requests refused that nothing may be
// rented for.
func TestWake_whoMayNotUseItWakesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits limit.Settings
		code   string
	}{
		"another model is allowed": {limit.Settings{Models: []string{"another/model"}}, "model_not_allowed"},
		"the budget is exhausted":  {limit.Settings{Budget: money.Euro / 100, Period: limit.Day}, "insufficient_quota"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := asleep(t, Sleeping{State: Asleep}, 10*time.Millisecond)
			b.limitTo(t, limit.Key, c.limits)
			if res := b.ask(t, "/v1/chat/completions", chatBody(`"max_tokens":100000,`)); code(t, res) != c.code {
				t.Errorf("got %d", res.StatusCode)
			}
			b.reloaded(t)
			if len(b.instances.woken) != 0 {
				t.Error("it is woken")
			}
		})
	}
}

func TestWake_whatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := asleep(t, Sleeping{State: Asleep}, 10*time.Millisecond)
	b.instances.waking = func() (bool, error) { return false, errors.New("the database is away") }
	if got := code(t, b.ask(t, "/v1/chat/completions", chatBody(""))); got != "waking" {
		t.Errorf("got %s", got)
	}
	for range 2 {
		if _, err := b.reload(t.Context()); err == nil {
			t.Error("nobody learns that it failed")
		}
	}
	b.instances.waking = func() (bool, error) { return true, nil }
	b.reloaded(t)
	b.reloaded(t)
	if len(b.instances.woken) != 3 || woken(t, b) != 1 {
		t.Errorf("asked %d times, woken %v times", len(b.instances.woken), woken(t, b))
	}
}

func TestWake_theQueueIsBoundedAndWhoLeavesLeavesIt(t *testing.T) {
	t.Parallel()
	b := asleep(t, Sleeping{State: Waking, Left: time.Minute}, time.Minute)
	b.limits.replica = 2
	b.reloaded(t)
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if res, err := http.DefaultClient.Do(b.request(t, "/v1/chat/completions", chatBody("")).WithContext(ctx)); err == nil {
				_ = res.Body.Close()
				t.Errorf("got %d", res.StatusCode)
			}
		})
	}
	b.awaits(t, 2)
	res := b.ask(t, "/v1/chat/completions", chatBody(""))
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "60" || code(t, res) != "model_overloaded" {
		t.Errorf("a third one: %d %v", res.StatusCode, res.Header)
	}
	leave()
	all.Wait()
	b.awaits(t, 0)
	if n := len(b.stored(t)); n != 0 {
		t.Errorf("%d usage records", n)
	}
}

// TestWake_nobodyWaitsForIsForgotten has a wish fail until who wished is gone.
func TestWake_nobodyWaitsForIsForgotten(t *testing.T) {
	t.Parallel()
	b := asleep(t, Sleeping{State: Asleep}, 10*time.Millisecond)
	text(t, b.ask(t, "/v1/chat/completions", chatBody("")))
	r := b.table.Load().routes[routeKey{b.organisation, model}]
	r.queue.asked.Load().at = time.Now().Add(-wishAge)
	b.reloaded(t)
	if len(b.instances.woken) != 0 || r.queue.asked.Load() != nil {
		t.Error("it is woken for nobody")
	}
}

// TestWake_whatChangesMeanwhile has a model stopped, or deleted, the process told
// to stop and the key revoked, while somebody waits for it.
func TestWake_whatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*bed)
		code   string
	}{
		"stopped":  {func(b *bed) { b.instances.sleeping[0].State = "stopped" }, "no_ready_replica"},
		"deleted":  {func(b *bed) { b.instances.sleeping = nil }, "model_not_found"},
		"stopping": {func(b *bed) { b.Stop() }, "stopping"},
		"revoked": {func(b *bed) {
			b.keys.revoked.Store(true)
			b.wakes(answering(t, 200, "application/json", wholeAnswer))
		}, "key_revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := asleep(t, Sleeping{State: Waking}, time.Minute)
			var one sync.WaitGroup
			one.Go(func() {
				if got := code(t, b.ask(t, "/v1/chat/completions", chatBody(""))); got != c.code {
					t.Errorf("got %s", got)
				}
			})
			b.awaits(t, 1)
			c.change(b)
			b.reloaded(t)
			one.Wait()
		})
	}
}

func TestWake_theFallbackAnswersMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	b.instances.sleeping = []Sleeping{
		{Organisation: b.organisation, Model: "big/model", State: Asleep},
		{Organisation: b.organisation, Model: "shut/model", State: "stopped"},
		{Organisation: b.organisation, Model: "asleep/too", State: Asleep},
	}
	b.fallsBack(t, "big/model")
	if _, err := b.SetFallback(t.Context(), auth.System(b.organisation), "shut/model", []string{"asleep/too"}); err != nil {
		t.Fatal(err)
	}
	b.reloaded(t)
	res := b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "big/model", 1))
	if got := text(t, res); res.StatusCode != http.StatusOK || !strings.Contains(got, `"model":"`+model) {
		t.Errorf("got %d %s", res.StatusCode, got)
	}
	if got := code(t, b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "shut/model", 1))); got != "waking" {
		t.Errorf("only a sleeping one can answer: %s", got)
	}
	b.reloaded(t)
	if n := len(b.instances.woken); n != 2 {
		t.Errorf("%d models are woken, want the one that was asked for and the one that shall answer", n)
	}
}

// TestWake_whatHappensToAStreamThatWasBegun lets streams be begun at once while
// they wait, and then the model wake in a good state or a bad one.
func TestWake_whatHappensToAStreamThatWasBegun(t *testing.T) {
	t.Parallel()
	const whole = `data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}` + "\n\n" + "data: [DONE]\n\n"
	broken := func(t *testing.T) string {
		t.Helper()
		return answering(t, http.StatusInternalServerError, "application/json", `{"error":{"message":"CUDA error","type":"server_error"}}`)
	}
	good := func(t *testing.T) string {
		t.Helper()
		return answering(t, http.StatusOK, "text/event-stream", whole)
	}
	var asked atomic.Int64
	full := func(t *testing.T) string { // whichever is asked first
		t.Helper()
		return engine(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if asked.Add(1) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, whole)
		})
	}
	for name, c := range map[string]struct {
		engines []func(*testing.T) string
		cut     bool // it has no tunnel
		ends    string
		status  string
		retries float64
	}{
		"it is answered":           {[]func(*testing.T) string{good}, false, whole, "completed", 0},
		"the engine refuses":       {[]func(*testing.T) string{broken}, false, `"type":"server_error"`, "interrupted", 0},
		"it cannot be reached":     {[]func(*testing.T) string{good}, true, `"code":"upstream_unreachable"`, "interrupted", 0},
		"another one can be asked": {[]func(*testing.T) string{full, full}, false, whole, "completed", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := asleep(t, Sleeping{State: Waking}, time.Minute)
			b.limits.firstBeat = 0
			res := b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`)) // returns with the head
			if res.StatusCode != http.StatusOK || res.Header.Get("X-Request-Id") == "" {
				t.Fatalf("got %d %v", res.StatusCode, res.Header)
			}
			for _, e := range c.engines {
				b.wakes(e(t))
			}
			if c.cut {
				b.instances.cut.Store(&b.instances.order[0])
			}
			b.reloaded(t)
			got := text(t, res)
			if !strings.HasPrefix(got, comment) || !strings.Contains(got, c.ends) || strings.Contains(got, "[DONE]") != strings.Contains(c.ends, "[DONE]") {
				t.Errorf("got %q", got)
			}
			checkEvents(t, strings.ReplaceAll(got, "data: [DONE]", "data: {}"))
			records := b.stored(t)
			if len(records) != 1 || records[0].Status != c.status || records[0].HTTPStatus != http.StatusOK {
				t.Errorf("on record: %+v", records)
			}
			if n := figures(t, b)["inventiv_gateway_retries_total"].GetCounter().GetValue(); n != c.retries {
				t.Errorf("%v retries, want %v", n, c.retries)
			}
		})
	}
}
