package limit_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

func TestRate_holdsInTheLongRun(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		var r limit.Rate
		r.Set(600, 0)
		random := rand.New(rand.NewPCG(seed, 0))
		now, taken := int64(0), int64(0)
		for now < int64(10*time.Minute) {
			now += random.Int64N(int64(2 * time.Second))
			n := 1 + random.Int64N(800)
			if wait, ok := r.Take(n, now); ok {
				taken += n
			} else if _, early := r.Take(n, now+int64(wait)-1); early {
				t.Fatal("it can be taken before the wait is over")
			} else if _, ok := r.Take(n, now+int64(wait)); !ok {
				t.Fatal("it cannot be taken when the wait is over")
			} else {
				now, taken = now+int64(wait), taken+n
			}
		}
		minutes := float64(now) / float64(time.Minute)
		if most := 600*(minutes+1) + 800; float64(taken) > most || float64(taken) < 600*minutes {
			t.Errorf("seed %d: %d taken in %.1f minutes of 600 a minute", seed, taken, minutes)
		}
	}
}

func TestRate_givesBackAndGoesIntoDebt(t *testing.T) {
	t.Parallel()
	var r limit.Rate
	r.Set(100, 0)
	if _, ok := r.Take(90, 0); !ok {
		t.Fatal("90 of 100 were refused")
	}
	r.Give(80, 0)
	if s := r.Standing(100, 0); s.Remaining != 90 || s.Reset != 6*time.Second {
		t.Errorf("%+v", s)
	}
	r.Give(1000, 0) // never more than full
	if s := r.Standing(100, 0); s.Remaining != 100 {
		t.Errorf("%+v", s)
	}
	r.Give(-150, 0)
	if wait, ok := r.Take(10, 0); ok || wait != 36*time.Second {
		t.Errorf("in debt: %v, %v", wait, ok)
	}
	r.Give(-1_000_000, 0)
	if wait, ok := r.Take(1, 0); ok || wait > 61*time.Minute {
		t.Errorf("a great debt locks out for %v", wait)
	}
}

func TestRate_keepsItsLevelWhenItChanges(t *testing.T) {
	t.Parallel()
	var r limit.Rate
	r.Set(100, 0)
	r.Take(60, 0)
	r.Set(50, 0)
	if s := r.Standing(50, 0); s.Remaining != 40 {
		t.Errorf("less: %+v", s)
	}
	r.Set(200, 0)
	if s := r.Standing(200, 0); s.Remaining != 40 {
		t.Errorf("more: %+v", s)
	}
}

// Whatever is let in, refused, settled, given up or given up twice: in the end
// nothing is held.
func TestTicket_B17_leavesNoResidue(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		var gates limit.Gates
		for i, level := range []limit.Level{limit.Key, limit.Member, limit.Organisation} {
			gates[i] = &limit.Gate{Level: level, Meters: &limit.Meters{}, Settings: limit.Settings{
				RequestsPerMinute: 50, TokensPerMinute: 5000, Concurrency: int64(3 + i), Budget: money.Euro, Period: limit.Day,
			}}
			gates[i].Requests.Set(50, 0)
			gates[i].Tokens.Set(5000, 0)
			gates[i].Slots.Set(int64(3 + i))
			purse := &limit.Purse{}
			purse.Fill(money.Euro)
			gates[i].Purse.Store(purse)
		}
		var mu sync.Mutex
		var spent money.EUR
		var all sync.WaitGroup
		for worker := range uint64(8) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(seed, worker))
				for range 50 {
					ask := limit.Ask{Tokens: 1 + random.Int64N(300), Cost: money.EUR(random.Int64N(int64(5 * money.Cent)))}
					var ticket limit.Ticket
					refusal := ticket.Enter(&gates, ask, 0)
					if refusal == nil && random.IntN(3) > 0 {
						cost := money.EUR(random.Int64N(int64(ask.Cost) + 1))
						ticket.Settle(random.Int64N(ask.Tokens), cost, 0)
						mu.Lock()
						spent += cost
						mu.Unlock()
					}
					ticket.Settle(0, 0, 0)
					ticket.Leave()
					ticket.Leave()
				}
			})
		}
		all.Wait()
		for _, g := range gates {
			p := g.Purse.Load()
			if g.Slots.Busy() != 0 || p.Held() != 0 || p.Owed() != spent || p.Free() != money.Euro-spent || p.Mine() != money.Euro {
				t.Errorf("seed %d, %s: %d busy, held %s, owed %s, free %s of %s spent", seed, g.Level, g.Slots.Busy(), p.Held(), p.Owed(), p.Free(), spent)
			}
			if spent > money.Euro {
				t.Errorf("seed %d: %s EUR spent of 1", seed, spent)
			}
		}
	}
}

func TestPeriod_isTheDayOrMonthInUTC(t *testing.T) {
	t.Parallel()
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 0, 30, 0, 0, paris) // still February in UTC
	for p, want := range map[limit.Period][2]string{limit.Day: {"2026-02-28", "2026-03-01"}, limit.Month: {"2026-02-01", "2026-03-01"}} {
		start, end := p.Around(at)
		if start.Format(time.DateOnly) != want[0] || end.Format(time.DateOnly) != want[1] {
			t.Errorf("%s: %s to %s", p, start, end)
		}
	}
}

func TestQueue_takesTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q limit.Queue
		q.Set(1, 100)
		if err := q.Enter(t.Context(), uuid.New(), time.Minute); err != nil {
			t.Fatal(err)
		}
		loud, quiet := uuid.New(), uuid.New()
		var order []uuid.UUID
		wait := func(who uuid.UUID) {
			go func() {
				if err := q.Enter(t.Context(), who, time.Minute); err != nil {
					t.Error(err)
				}
				order = append(order, who) // one at a time has a place
				q.Leave()
			}()
			synctest.Wait()
		}
		for range 50 {
			wait(loud)
		}
		wait(quiet)
		q.Leave()
		synctest.Wait()
		if len(order) != 51 || order[1] != quiet || q.Waiting() != 0 {
			t.Errorf("who sent one request behind fifty of another was not the second of %d", len(order))
		}
	})
}

func TestQueue_isBoundedAndPatient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q limit.Queue
		q.Set(1, 1)
		who := uuid.New()
		enter := func(ctx context.Context) error { return q.Enter(ctx, who, time.Minute) }
		if err := enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { gone <- enter(ctx) }()
		synctest.Wait()
		if err := enter(t.Context()); err != limit.ErrFull { //nolint:errorlint // as it is
			t.Errorf("a third one: %v", err)
		}
		leave()
		if err := <-gone; err == nil || q.Waiting() != 0 {
			t.Errorf("who left still waits: %v", err)
		}
		start := time.Now()
		if err := enter(t.Context()); err != limit.ErrLate || time.Since(start) != time.Minute { //nolint:errorlint // as it is
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		q.Leave()
		if err := enter(t.Context()); err != nil {
			t.Errorf("a free place: %v", err)
		}
		go func() { gone <- enter(t.Context()) }()
		synctest.Wait()
		q.Set(2, 1) // another replica has come
		if err := <-gone; err != nil {
			t.Errorf("more room: %v", err)
		}
	})
}

func TestQueue_losesNobody(t *testing.T) {
	t.Parallel()
	var q limit.Queue
	q.Set(3, 1000)
	var all sync.WaitGroup
	for range 16 {
		who := uuid.New()
		all.Go(func() {
			for range 300 {
				if err := q.Enter(t.Context(), who, time.Minute); err != nil {
					t.Error(err)
					return
				}
				q.Leave()
			}
		})
	}
	all.Wait()
	if q.Waiting() != 0 || q.Busy() != 0 {
		t.Errorf("%d wait and %d are in progress after all have left", q.Waiting(), q.Busy())
	}
}
