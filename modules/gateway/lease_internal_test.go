package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// twin starts a second service on a bed's database.
func (b *bed) twin(t testing.TB) *bed {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	other := *b
	var err error
	other.Service, err = New(Config{
		Pool: b.pool, Keyring: b.ring, Keys: b.keys, Instances: b.instances, Prices: fakePrices{}, Models: fakeModels{}, Accounts: b.accounts,
		Events: events.New(log), SpoolDir: t.TempDir(), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.spool.Close() })
	if _, err := other.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(other.Service)
	t.Cleanup(server.Close)
	other.url = server.URL
	other.readLimits(t)
	b.readLimits(t) // they know each other
	return &other
}

// hammer sends requests to all beds from many clients for some time, and returns
// how many were let in.
func hammer(t *testing.T, clients int, more string, long time.Duration, beds ...*bed) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var served atomic.Int64
	var all sync.WaitGroup
	for _, b := range beds {
		for range clients {
			all.Go(func() {
				for ctx.Err() == nil {
					res := b.ask(t, "/v1/chat/completions", chatBody(more))
					switch body := text(t, res); {
					case res.StatusCode == http.StatusOK:
						served.Add(1)
					case res.StatusCode != http.StatusTooManyRequests:
						t.Errorf("answered with %d: %s", res.StatusCode, body)
					default:
						<-time.After(5 * time.Millisecond)
					}
				}
			})
		}
	}
	all.Wait()
	return served.Load()
}

// Two services share a rate: over any time they let in the limit and what fits
// into it, and one request of each more.
func TestLease_ratesHoldAcrossReplicas(t *testing.T) {
	t.Parallel()
	a := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	a.limitTo(t, limit.Organisation, limit.Settings{RequestsPerMinute: 240})
	b := a.twin(t)
	defer a.run(t)()
	defer b.run(t)()
	begun := time.Now()
	served := hammer(t, 2, "", 3*time.Second, a, b)
	most := 240 + int64(240*time.Since(begun)/time.Minute) + 2
	if served > most || served < 240/2 {
		t.Errorf("%d requests were let in, want at most %d and at least half of the limit", served, most)
	}
}

// What one replica does not need the other one gets, and it is never more than
// the limit in all.
func TestLease_followsDemand(t *testing.T) {
	t.Parallel()
	a := newBed(t, dbtest.New(t))
	a.limitTo(t, limit.Key, limit.Settings{Concurrency: 100})
	b := a.twin(t)
	ga, gb := a.gate(a.keyID), b.gate(b.keyID)
	if x, y := a.demand(t, ga, 90, b, gb, 0); x != 75 || y != 25 {
		t.Errorf("all the demand at one: %d and %d", x, y)
	}
	if x, y := a.demand(t, ga, 90, b, gb, 90); x < 48 || x > 50 || y < 48 || y > 50 {
		t.Errorf("as much at each: %d and %d", x, y)
	}
	if x, y := a.demand(t, ga, 0, b, gb, 90); x != 25 || y != 75 {
		t.Errorf("all the demand at the other: %d and %d", x, y)
	}
	if err := b.admission.leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.readLimits(t)
	if most := ga.Slots.Most(); most != 100 {
		t.Errorf("alone: %d", most)
	}
}

// demand makes passes of two replicas under a steady demand for slots, and
// returns how many each then has.
func (b *bed) demand(t *testing.T, mine *limit.Gate, n int, other *bed, theirs *limit.Gate, m int) (int64, int64) {
	t.Helper()
	for range 60 {
		for _, d := range []struct {
			gate *limit.Gate
			want int
		}{{mine, n}, {theirs, m}} {
			entered := 0
			for range d.want {
				if d.gate.Slots.Enter() {
					entered++
				}
			}
			for range entered {
				d.gate.Slots.Leave()
			}
		}
		b.readLimits(t)
		other.readLimits(t)
		if sum := mine.Slots.Most() + theirs.Slots.Most(); sum > 100 {
			t.Fatalf("%d slots of 100", sum)
		}
	}
	return mine.Slots.Most(), theirs.Slots.Most()
}

// Two services spend one budget, and never more than that.
func TestLease_B17_budgetHoldsAcrossReplicas(t *testing.T) {
	t.Parallel()
	expensive := strings.Replace(wholeAnswer, `"completion_tokens":2,"total_tokens":11`, `"completion_tokens":100,"total_tokens":109`, 1)
	a := newBed(t, dbtest.New(t), answering(t, 200, "application/json", expensive))
	a.limitTo(t, limit.Organisation, limit.Settings{Budget: money.Cent, Period: limit.Day})
	b := a.twin(t)
	stopA, stopB := a.run(t), b.run(t)
	// What the other one has just stored counts as spent and as its own until it
	// looks again, so for a moment either may refuse what there is room for.
	served := hammer(t, 4, `"max_tokens":100,`, 5*time.Second, a, b)
	stopA()
	stopB()
	each := 9*money.Euro/1_000_000 + 200*money.Euro/1_000_000
	if spent := money.EUR(served) * each; spent > money.Cent || spent < money.Cent*9/10 {
		t.Errorf("%d served: %s EUR of a budget of 0.01", served, spent)
	}
	a.stored(t)
	b.stored(t)
	a.readLimits(t)
	if l := a.gate(a.organisation).Purse.Load().Balance(); l.Spent != money.EUR(served)*each {
		t.Errorf("%s EUR on record for %d requests at %s", l.Spent, served, each)
	}
	// A replica that is gone for good keeps nothing back.
	if err := b.admission.leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.gate(a.organisation).Purse.Load().Hold(money.Euro) // it looks again
	a.readLimits(t)
	if l := a.gate(a.organisation).Purse.Load(); l.Balance().Reserved != 0 || l.Held()+l.Owed() != 0 {
		t.Errorf("reserved %+v after all has ended", l.Balance())
	}
}

// A replica that died without a word keeps its part of a budget for six
// minutes, as long as it might have gone on without the database.
func TestLease_F28_deadReplicaIsForgotten(t *testing.T) {
	t.Parallel()
	a := newBed(t, dbtest.New(t))
	a.limitTo(t, limit.Organisation, limit.Settings{Budget: money.Euro, Period: limit.Day})
	b := a.twin(t)
	b.readLimits(t)
	reserved := func() money.EUR {
		a.gate(a.organisation).Purse.Load().Hold(2 * money.Euro) // it looks again
		a.readLimits(t)
		return a.gate(a.organisation).Purse.Load().Balance().Reserved
	}
	ago := func(minutes int) {
		mustExec(t, a.pool, `UPDATE gateway.replicas SET seen_at = now() - make_interval(mins => $2) WHERE id = $1`, b.admission.id, minutes)
	}
	if ago(5); reserved() == 0 {
		t.Error("after five minutes nothing is reserved")
	}
	ago(7)
	a.readLimits(t)
	if r := reserved(); r != 0 {
		t.Errorf("after seven minutes %s EUR are reserved", r)
	}
	// It was only away: it begins with nothing.
	mine := b.gate(b.organisation).Purse.Load()
	b.readLimits(t)
	if now := b.gate(b.organisation).Purse.Load(); now == mine {
		t.Error("who was forgotten goes on with what it had")
	}
}

// What is put on record after others looked at what was spent, and before this
// process's purse is filled, counts all the same.
func TestLease_B17_countsWhatIsRecordedMeanwhile(t *testing.T) {
	t.Parallel()
	a := newAdmission(nil, slog.New(slog.DiscardHandler))
	g := &limit.Gate{Meters: &limit.Meters{}, Settings: limit.Settings{Budget: money.Euro, Period: limit.Day}}
	start, end := limit.Day.Around(time.Now())
	p := &limit.Purse{Start: start, End: end}
	p.Fill(money.Euro)
	g.Purse.Store(p)
	if !p.Hold(money.Euro * 9 / 10) {
		t.Fatal("nothing is held")
	}
	p.Settle(money.Euro*9/10, money.Euro*9/10)
	w, ok := a.purse(g, time.Now())
	if !ok {
		t.Fatal("nothing has to change")
	}
	p.Recorded(money.Euro * 9 / 10)             // the usage loop was faster,
	w.fillBeside(gatewaydb.LeasedRow{Spent: 0}) // but this was read before
	w.apply()
	if free := p.Free(); free > money.Euro/10 {
		t.Errorf("%s EUR are free of a budget of which 0.10 is left", free)
	}
}
