package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// ledger is what the database says was used and spent.
type ledger struct {
	Requests, Twice int
	Cost            money.EUR
	ByKey, ByMember money.EUR
	Organisation    money.EUR
}

func (b *bed) ledger(t *testing.T) (l ledger) {
	t.Helper()
	err := b.pool.QueryRow(t.Context(), `
SELECT count(*), count(*) - count(DISTINCT request_id), coalesce(sum(cost), 0),
       (SELECT coalesce(sum(cost), 0) FROM gateway.spending WHERE subject_id = $2),
       (SELECT coalesce(sum(cost), 0) FROM gateway.spending WHERE subject_id = $3),
       (SELECT coalesce(sum(cost), 0) FROM gateway.spending WHERE subject_id = $1)
  FROM gateway.usage_records WHERE organisation_id = $1`, b.organisation, b.keyID, b.userID).
		Scan(&l.Requests, &l.Twice, &l.Cost, &l.ByKey, &l.ByMember, &l.Organisation)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// askMany sends requests, whose records then wait in the spool.
func (b *bed) askMany(t *testing.T, n int) {
	t.Helper()
	for range n {
		res := b.ask(t, "/v1/chat/completions", chatBody(""))
		if body := text(t, res); res.StatusCode != http.StatusOK {
			t.Fatalf("got %d %s", res.StatusCode, body)
		}
	}
}

// restart closes the spool and opens it again, as another process does.
func (b *bed) restart(t *testing.T) {
	t.Helper()
	if err := b.spool.Close(); err != nil {
		t.Fatal(err)
	}
	records, err := spool.Open(b.spoolDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = records.Close() })
	b.spool, b.witness, b.confirmed = records, records.Witness(), time.Time{}
}

// TestF27_aDatabaseThatLostItsLastMomentsIsGivenThemAgain puts an older state of
// the database in place of the newer one, as the promotion of a standby does
// that was behind. All records are there again, none twice, and what keys,
// members and the organisation have spent adds up.
func TestF27_aDatabaseThatLostItsLastMomentsIsGivenThemAgain(t *testing.T) {
	t.Parallel()
	for _, meanwhile := range []struct {
		name    string
		asks    int
		restart bool
	}{{name: "serve runs and is idle"}, {name: "serve goes on", asks: 7}, {name: "serve starts again", restart: true}} {
		t.Run(meanwhile.name, func(t *testing.T) {
			t.Parallel()
			server := dbtest.NewServer(t)
			pool, err := pgxpool.New(t.Context(), server.URL())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			b := newBed(t, pool, answering(t, 200, "application/json", wholeAnswer))
			b.limitTo(t, limit.Key, limit.Settings{Budget: 1000 * money.Euro, Period: limit.Month})
			b.askMany(t, 20)
			flushed := func() bool { _, err := b.flush(t.Context()); return err == nil }
			eventually(t, time.Minute, "the first records are stored", flushed)
			old := b.ledger(t)
			restore := server.Copy()
			b.askMany(t, 30)
			eventually(t, time.Minute, "the next records are stored", flushed)
			whole := b.ledger(t)
			if d := b.spool.Depth(); d.Waiting != 0 || d.Kept == 0 {
				t.Errorf("the spool has %+v, want that all of it is kept and nothing waits", d)
			}
			restore()
			pool.Reset()
			if got := b.ledger(t); got != old {
				t.Fatalf("the older state has %+v, want %+v", got, old)
			}
			more := meanwhile.asks
			b.askMany(t, more)
			if meanwhile.restart {
				b.restart(t)
			}
			eventually(t, time.Minute, "all records are there", func() bool {
				return flushed() && b.ledger(t).Requests >= 50+more && b.spool.Depth().Waiting == 0
			})
			for range 2 {
				each := whole.Cost / money.EUR(whole.Requests)
				all := whole.Cost + each*money.EUR(more)
				if got, want := b.ledger(t), (ledger{50 + more, 0, all, all, all, all}); got != want || each == 0 {
					t.Errorf("the database has %+v, want %+v", got, want)
				}
				if err := b.deliverAgain(t.Context()); err != nil { // for nothing, as a false alarm does
					t.Fatal(err)
				}
				eventually(t, time.Minute, "all is delivered again", func() bool { return flushed() && b.spool.Depth().Waiting == 0 })
			}
			b.readLimits(t)
			balance := b.gate(b.keyID).Purse.Load().Balance()
			if owed := b.gate(b.keyID).Purse.Load().Owed(); balance.Spent != b.ledger(t).Cost || owed != 0 {
				t.Errorf("the key's budget knows of %s spent and %s owed, want %s and nothing", balance.Spent, owed, b.ledger(t).Cost)
			}
			if got := figures(t, b)["inventiv_gateway_usage_forgotten_total"].GetCounter().GetValue(); got != 3 {
				t.Errorf("the loss was counted %v times, want once beside the two that were asked for", got)
			}
		})
	}
}

// TestF27_aRecordThatIsRefusedIsNoWitness sets one aside behind others: it is not
// there, and nothing is lost.
func TestF27_aRecordThatIsRefusedIsNoWitness(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	for range 2 {
		b.askMany(t, 2)
		refused := spool.Record{Status: spool.Completed, RequestID: uuid.New(), StartedAt: time.Now(), Organisation: b.organisation, PromptTokens: -1}
		if err := b.spool.Append(&refused); err != nil {
			t.Fatal(err)
		}
		b.confirmed = time.Time{}
		for range 2 { // stored, and confirmed
			if _, err := b.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := figures(t, b)
	if lost, aside := got["inventiv_gateway_usage_forgotten_total"].GetCounter().GetValue(), got["inventiv_gateway_usage_set_aside_total"].GetCounter().GetValue(); lost != 0 || aside != 2 {
		t.Errorf("%v losses and %v records set aside, want none and 2", lost, aside)
	}
	if l := b.ledger(t); l.Requests != 4 {
		t.Errorf("the database has %+v, want 4 requests", l)
	}
}
