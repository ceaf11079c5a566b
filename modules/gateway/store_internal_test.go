package gateway

import (
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// usageRecord is a final record of a request begun at a time.
func usageRecord(at time.Time) spool.Record {
	return spool.Record{
		Status: spool.Completed, RequestID: uuid.Must(uuid.NewV7()), StartedAt: at, Organisation: uuid.Must(uuid.NewV7()),
		UpstreamID: uuid.Must(uuid.NewV7()), Model: "m", Path: "/v1/chat/completions", HTTPStatus: 200, Source: spool.Engine,
		PromptTokens: 3, CompletionTokens: 4, InputPrice: money.Euro, OutputPrice: 2 * money.Euro, Duration: time.Second,
	}
}

func TestStore_recordsThatAreThereStayAndCostNothingAgain(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := &Service{pool: pool}
	at := time.Date(2026, 11, 26, 23, 59, 59, 999_999_700, time.UTC) // in the database it is the next day
	batch := []spool.Record{usageRecord(at), usageRecord(at), usageRecord(at)}
	for i := range batch {
		batch[i].Organisation, batch[i].KeyID = batch[0].Organisation, batch[0].UpstreamID
	}
	for _, part := range [][]spool.Record{batch[:1], batch[:2], {batch[2], batch[2], batch[0]}, batch} {
		if err := s.store(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	var rows, plain int
	var cost, spent, key string
	err := pool.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE started_at = '2026-11-27 00:00:00Z' AND user_id IS NULL AND price_id IS NULL
		AND first_token_us IS NULL AND duration_us = 1000000 AND upstream = 'instance' AND stored_at > now() - interval '1 minute'), sum(cost)::text,
		(SELECT cost::text FROM gateway.spending WHERE subject_id = $1 AND day = '2026-11-27'),
		(SELECT cost::text FROM gateway.spending WHERE subject_id = $2 AND organisation_id = $1)
		FROM gateway.usage_records WHERE organisation_id = $1`, batch[0].Organisation, batch[0].KeyID).Scan(&rows, &plain, &cost, &spent, &key)
	if err != nil || rows != 3 || plain != 3 || cost != "0.000033000" || spent != cost || key != cost {
		t.Errorf("%d rows, %d as they should be, cost %s, spent %s and %s by the key (%v)", rows, plain, cost, spent, key, err)
	}
}

func TestStore_whatIsSpentDoesNotOverflow(t *testing.T) {
	t.Parallel()
	var b usageBatch
	b.reset()
	for range 3 {
		r := usageRecord(time.Now())
		r.Organisation, r.CompletionTokens = uuid.Max, math.MaxInt64
		b.add(&r)
	}
	if p := b.spending(); len(p.Costs) != 1 || p.Costs[0] != math.MaxInt64 {
		t.Errorf("spent %v", p.Costs)
	}
}
