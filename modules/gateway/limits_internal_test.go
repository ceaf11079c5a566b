package gateway

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// fakeAccounts has the key and the member of a bed.
type fakeAccounts struct{ keys, members []uuid.UUID }

func (f *fakeAccounts) ListKeys(_ context.Context, actor auth.Actor) ([]auth.Key, error) {
	if !actor.Can(auth.KeysAll) {
		return nil, nil
	}
	var list []auth.Key
	for _, id := range f.keys {
		list = append(list, auth.Key{ID: id})
	}
	return list, nil
}

func (f *fakeAccounts) Members(context.Context, auth.Actor) ([]auth.Member, error) {
	var list []auth.Member
	for _, id := range f.members {
		list = append(list, auth.Member{UserID: id})
	}
	return list, nil
}

// limitTo sets limits and lets the gateway read them.
func (b *bed) limitTo(t testing.TB, level limit.Level, l limit.Settings) {
	t.Helper()
	id := map[limit.Level]uuid.UUID{limit.Key: b.keyID, limit.Member: b.userID, limit.Organisation: b.organisation}[level]
	if _, err := b.SetLimits(t.Context(), auth.System(b.organisation), level, id, l); err != nil {
		t.Fatal(err)
	}
	b.readLimits(t)
}

// run runs the loops that limits need, until what it returns is called.
func (b *bed) run(t testing.TB) func() {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	loops.Go(func() { b.admission.loop.Run(ctx) })
	loops.Go(func() { b.flushLoop.Run(ctx) })
	return func() { stop(); loops.Wait() }
}

// gate is a limited subject of the bed.
func (b *bed) gate(id uuid.UUID) *limit.Gate {
	return b.admission.gates.Load().all[limit.Subject{Organisation: b.organisation, ID: id}]
}

func TestAdmit_B17_requestsPerMinuteOfEachLevel(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	for _, tt := range []struct {
		level limit.Level
		who   string
	}{{limit.Key, "This API key"}, {limit.Member, "You"}, {limit.Organisation, "Your organisation"}} {
		b.limitTo(t, tt.level, limit.Settings{RequestsPerMinute: 2})
		for i := range 2 {
			res := b.ask(t, "/v1/chat/completions", chatBody(""))
			if res.StatusCode != http.StatusOK || res.Header.Get("X-Ratelimit-Limit-Requests") != "2" ||
				res.Header.Get("X-Ratelimit-Remaining-Requests") != strconv.Itoa(1-i) || res.Header.Get("X-Ratelimit-Limit-Tokens") != "" {
				t.Errorf("%s %d: %d %v", tt.level, i, res.StatusCode, res.Header)
			}
			if reset, err := time.ParseDuration(res.Header.Get("X-Ratelimit-Reset-Requests")); err != nil || reset <= 0 || reset > time.Minute {
				t.Errorf("%s %d: reset %v, %v", tt.level, i, reset, err)
			}
		}
		res := b.ask(t, "/v1/chat/completions", chatBody(""))
		body := text(t, res)
		after, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, `"code":"rate_limit_exceeded"`) || !strings.Contains(body, tt.who) ||
			res.Header.Get("X-Should-Retry") != "true" || err != nil || after < 1 || after > 30 ||
			res.Header.Get("X-Ratelimit-Remaining-Requests") != "0" {
			t.Errorf("%s: %d %v %s", tt.level, res.StatusCode, res.Header, body)
		}
		b.limitTo(t, tt.level, limit.Settings{})
		if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK || res.Header.Get("X-Ratelimit-Limit-Requests") != "" {
			t.Errorf("%s: without the limit: %d %v", tt.level, res.StatusCode, res.Header)
		}
	}
	if n := len(b.stored(t)); n != 9 {
		t.Errorf("%d usage records, want those of the 9 requests that were let in", n)
	}
}

func TestAdmit_B17_tokensAreReservedAndSettled(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	b.limitTo(t, limit.Key, limit.Settings{TokensPerMinute: 1000})
	res := b.ask(t, "/v1/chat/completions", chatBody(`"max_tokens":900,`))
	if res.StatusCode != http.StatusOK || res.Header.Get("X-Ratelimit-Limit-Tokens") != "1000" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	_ = text(t, res)
	// 11 tokens were used: as much as before can be asked for at once.
	if res := b.ask(t, "/v1/chat/completions", chatBody(`"max_tokens":900,`)); res.StatusCode != http.StatusOK {
		t.Errorf("what was not used was not given back: %d %s", res.StatusCode, text(t, res))
	}
	res = b.ask(t, "/v1/chat/completions", chatBody(`"max_tokens":500,"n":2,`))
	if body := text(t, res); res.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, "this request alone") || res.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("more than the limit: %d %s", res.StatusCode, body)
	}
}

func TestAdmit_concurrencyIsGivenBackWhenTheClientLeaves(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 8)
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, piece)
		_ = http.NewResponseController(w).Flush()
		begun <- struct{}{}
		<-r.Context().Done()
	}))
	b.limitTo(t, limit.Organisation, limit.Settings{Concurrency: 2, TokensPerMinute: 100_000, Budget: money.Euro, Period: limit.Day})
	ctx, leave := context.WithCancel(t.Context())
	for range 2 {
		req := b.request(t, "/v1/chat/completions", chatBody(`"stream":true,"max_tokens":100,`)).WithContext(ctx)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		<-begun
	}
	res := b.ask(t, "/v1/chat/completions", chatBody(""))
	if body := text(t, res); res.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, "2 requests in progress") {
		t.Errorf("a third one: %d %s", res.StatusCode, body)
	}
	leave()
	g := b.gate(b.organisation)
	eventually(t, 5*time.Second, "the slots are free", func() bool { return g.Slots.Busy() == 0 })
	if held := g.Purse.Load().Held(); held != 0 {
		t.Errorf("%s EUR are held by nobody", held)
	}
}

func TestAdmit_maxTokensOfARequest(t *testing.T) {
	t.Parallel()
	var sent atomic.Pointer[string]
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got := string(body)
		sent.Store(&got)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, wholeAnswer)
	}))
	b.limitTo(t, limit.Member, limit.Settings{MaxTokens: 100})
	for more, want := range map[string]int{
		"": 200, `"max_tokens":100,`: 200, `"max_tokens":101,`: 400, `"max_tokens":1,"max_completion_tokens":101,`: 400,
		`"max_tokens":50,"n":2,`: 200, `"max_tokens":51,"n":2,`: 400, `"n":101,`: 400,
	} {
		res := b.ask(t, "/v1/chat/completions", chatBody(more))
		body := text(t, res)
		if res.StatusCode != want || want == 400 && !strings.Contains(body, `"param":"max_tokens"`) {
			t.Errorf("%s: %d %s, want %d", more, res.StatusCode, body, want)
		}
		if more == "" && !strings.HasPrefix(*sent.Load(), `{"max_tokens":100,"model"`) {
			t.Errorf("the engine was sent %s", *sent.Load())
		}
	}
}

func TestAdmit_B10_modelNotAllowed(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	b.limitTo(t, limit.Key, limit.Settings{Models: []string{"other/model"}})
	res := b.ask(t, "/v1/chat/completions", chatBody(""))
	if body := text(t, res); res.StatusCode != http.StatusForbidden || !strings.Contains(body, `"code":"model_not_allowed"`) || !strings.Contains(body, "other/model") ||
		res.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	req := b.request(t, "/v1/models", "")
	req.Method = http.MethodGet
	if body := text(t, b.send(t, req)); strings.Contains(body, model) {
		t.Errorf("a model is listed that the key may not use: %s", body)
	}
	if res := b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "nope", 1)); res.StatusCode != http.StatusNotFound || strings.Contains(text(t, res), model) {
		t.Errorf("an unknown model: %d", res.StatusCode)
	}
}

func TestServeHTTP_B06_networksOfAKey(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	ask := func(networks string) reply {
		list, err := auth.ParseNetworks([]string{networks})
		if err != nil {
			t.Fatal(err)
		}
		b.keys.principal.Networks = &list
		req := b.request(t, "/v1/chat/completions", chatBody(""))
		req.Header.Set("X-Forwarded-For", "10.0.0.1")
		return b.send(t, req)
	}
	if res := ask("127.0.0.0/8"); res.StatusCode != http.StatusOK {
		t.Errorf("from inside: %d", res.StatusCode)
	}
	res := ask("10.0.0.0/8")
	if body := text(t, res); res.StatusCode != http.StatusForbidden || !strings.Contains(body, `"code":"ip_not_allowed"`) || !strings.Contains(body, "127.0.0.1") {
		t.Errorf("from outside: %d %s", res.StatusCode, body)
	}
}

func TestAdmit_B17_budget(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	b.limitTo(t, limit.Organisation, limit.Settings{Budget: money.Cent, Period: limit.Month})
	stop := b.run(t)
	// Tokens cost 1 and 2 EUR a million: a request of 4,000 tokens may cost 0.008 EUR, and costs 13 millionths.
	for i := range 3 {
		if res := b.ask(t, "/v1/chat/completions", chatBody(`"max_tokens":4000,`)); res.StatusCode != http.StatusOK {
			t.Fatalf("%d: %d %s", i, res.StatusCode, text(t, res))
		}
	}
	res := b.ask(t, "/v1/chat/completions", chatBody(`"max_tokens":6000,`))
	body := text(t, res)
	if res.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, `"code":"insufficient_quota"`) || res.Header.Get("X-Should-Retry") != "false" ||
		res.Header.Get("Retry-After") != "" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
	_, end := limit.Month.Around(time.Now())
	for _, part := range []string{"0.01 EUR a month", "level organisation", "spent", "reserved", end.Format(time.DateOnly)} {
		if !strings.Contains(body, part) {
			t.Errorf("%q is not in %s", part, body)
		}
	}
	// What was spent is on record, and seen by who asks.
	stop()
	b.stored(t)
	b.readLimits(t)
	l, err := b.LimitsOf(t.Context(), auth.System(b.organisation), limit.Organisation, b.organisation)
	if err != nil || l.Spent != 3*13*money.Euro/1_000_000 || l.Reserved > money.Cent-l.Spent {
		t.Errorf("%+v, %v", l, err)
	}
	if p := b.gate(b.organisation).Purse.Load(); p.Held() != 0 || p.Owed() != 0 {
		t.Errorf("held %s, owed %s after all has ended", p.Held(), p.Owed())
	}
}

// However many ask at once, what is let in never costs more than the budget.
func TestAdmit_B17_budgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	expensive := strings.Replace(wholeAnswer, `"completion_tokens":2,"total_tokens":11`, `"completion_tokens":100,"total_tokens":109`, 1)
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", expensive))
	b.limitTo(t, limit.Key, limit.Settings{Budget: money.Cent, Period: limit.Day})
	defer b.run(t)()
	var all sync.WaitGroup
	var served, refused atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 20 {
				switch res := b.ask(t, "/v1/chat/completions", chatBody(`"max_tokens":100,`)); res.StatusCode {
				case http.StatusOK:
					served.Add(1)
				case http.StatusTooManyRequests:
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	each := 9*money.Euro/1_000_000 + 200*money.Euro/1_000_000
	if spent := money.EUR(served.Load()) * each; spent > money.Cent || spent < money.Cent*9/10 || served.Load()+refused.Load() != 160 {
		t.Errorf("%d served, %d refused: %s EUR of a budget of 0.01", served.Load(), refused.Load(), spent)
	}
}

func TestSetLimits_B31_refusals(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	set := func(actor auth.Actor, level limit.Level, id uuid.UUID, l limit.Settings) error {
		_, err := b.SetLimits(t.Context(), actor, level, id, l)
		return err
	}
	system := auth.System(b.organisation)
	for _, bad := range []limit.Settings{
		{RequestsPerMinute: -1}, {TokensPerMinute: 1 << 60}, {Concurrency: 1 << 40}, {MaxTokens: 20_000_000}, {Models: []string{" "}},
		{Models: strings.Fields(strings.Repeat("m ", 101))}, {Budget: -money.Euro}, {Budget: 100}, {Budget: maxBudget + 1}, {Budget: money.Euro, Period: "week"},
	} {
		if err := set(system, limit.Key, b.keyID, bad); !fault.Is(err, fault.Invalid) || fault.As(err).Field == "" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	user := auth.Actor{UserID: b.userID, Organisation: b.organisation, Role: auth.User}
	auditor := auth.Actor{UserID: uuid.New(), Organisation: b.organisation, Role: auth.Auditor}
	one := limit.Settings{RequestsPerMinute: 1}
	for name, err := range map[string]error{
		"key of somebody else":      set(user, limit.Key, b.keyID, one),
		"unknown key":               set(system, limit.Key, uuid.New(), one),
		"unknown member":            set(system, limit.Member, uuid.New(), one),
		"organisation of strangers": set(system, limit.Organisation, uuid.New(), one),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"user himself":      set(user, limit.Member, b.userID, one),
		"user organisation": set(user, limit.Organisation, b.organisation, one),
		"auditor":           set(auditor, limit.Organisation, b.organisation, one),
	} {
		if !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.limitTo(t, limit.Organisation, one)
	b.limitTo(t, limit.Member, limit.Settings{Budget: money.Euro})
	b.limitTo(t, limit.Key, one)
	for name, c := range map[string]struct {
		actor auth.Actor
		want  int
	}{"user": {user, 2}, "auditor": {auditor, 3}} {
		if list, err := b.Limits(t.Context(), c.actor); err != nil || len(list) != c.want {
			t.Errorf("%s sees %+v, %v; want %d", name, list, err, c.want)
		}
	}
	if l, err := b.LimitsOf(t.Context(), user, limit.Member, b.userID); err != nil || l.Budget != money.Euro || l.Period != limit.Month {
		t.Errorf("%+v, %v", l, err)
	}
}
