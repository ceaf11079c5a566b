package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
)

// explained keeps the plan of each query.
type explained struct {
	gatewaydb.DBTX

	plans *[]string
}

func (e explained) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := e.DBTX.Query(ctx, "EXPLAIN "+sql, args...)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	*e.plans = append(*e.plans, strings.Join(lines, "\n"))
	return e.DBTX.Query(ctx, sql, args...)
}

// The few requests that failed are found without a look at all the others, in
// partitions that are made later as well.
func TestRecords_whatFailedHasAnIndex(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	organisation := uuid.New()
	for month := range int32(3) {
		if err := gatewaydb.New(pool).MakePartition(t.Context(), month-1); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, pool, `INSERT INTO gateway.usage_records (request_id, started_at, organisation_id, model, path, upstream, upstream_id, status, http_status,
		error, streamed, prompt_tokens, completion_tokens, usage_source, input_price, output_price, cost, duration_us)
	SELECT gen_random_uuid(), now() - make_interval(secs => n * 60), $1, 'm', '/v1/chat/completions', 'instance', gen_random_uuid(),
		CASE WHEN n % 5000 = 0 THEN 'interrupted' ELSE 'completed' END, 200, CASE WHEN n % 5000 = 0 THEN 'client_gone' ELSE '' END,
		false, 1, 1, 'engine', 0, 0, 0, 1 FROM generate_series(1, 20000) n`, organisation)
	mustExec(t, pool, `ANALYZE gateway.usage_records`)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	var plans []string
	for range 2 {
		p := gatewaydb.UsageRecordsParams{
			OrganisationID: organisation, Since: time.Now().AddDate(0, -2, 0), Until: time.Now(), BeforeAt: time.Now(), BeforeID: uuid.Max,
			Status: "interrupted", Error: "client_gone", PageSize: 100,
		}
		rows, err := gatewaydb.New(planned{explained{conn, &plans}}).UsageRecords(t.Context(), p)
		if err != nil || len(rows) != 4 {
			t.Fatalf("%d rows, %v; want 4", len(rows), err)
		}
	}
	var kept int
	err = conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '-- name: UsageRecords %'`).Scan(&kept)
	if err != nil || kept != 0 {
		t.Errorf("%d prepared statements (%v), which get a plan for any filter in the end", kept, err)
	}
	for i, plan := range plans {
		if !strings.Contains(plan, "started_at_idx1 on") || strings.Contains(plan, "started_at_idx on") {
			t.Fatalf("plan %d does not use the index of what failed:\n%s", i, plan)
		}
	}
}

func TestRecords_sayWhoWasAskedSecond(t *testing.T) {
	t.Parallel()
	full := answering(t, http.StatusServiceUnavailable, "application/json", `{"error":{"message":"Full."}}`)
	b := newBed(t, dbtest.New(t), full, answering(t, http.StatusOK, "application/json", wholeAnswer))
	retried := 0
	eventually(t, 10*time.Second, "each was asked first", func() bool {
		if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK {
			t.Errorf("got %d %s", res.StatusCode, text(t, res))
		}
		retried = int(figures(t, b)["inventiv_gateway_retries_total"].GetCounter().GetValue())
		return retried > 0
	})
	for _, r := range b.stored(t) {
		if r.UpstreamID != b.instances.order[1] {
			t.Errorf("answered by another: %+v", r)
		}
		if r.Retried {
			retried--
		}
	}
	if retried != 0 {
		t.Errorf("%d more were retried than the records say", retried)
	}
}
