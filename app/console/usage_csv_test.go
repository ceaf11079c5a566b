package console_test

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// A key or a model can be named like a formula; the export never holds one.
func TestUsageCSV_noNameIsAFormula(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key, _, err := w.auth.CreateKey(t.Context(), w.owner, `=HYPERLINK("x")`, auth.ScopeInference, time.Time{})
	ok(t, err)
	_, err = w.pool.Exec(t.Context(), `
		INSERT INTO gateway.usage_records (request_id, started_at, organisation_id, key_id, user_id, model, path, upstream, upstream_id,
		       status, http_status, streamed, prompt_tokens, completion_tokens, usage_source, input_price, output_price, cost, duration_us)
		VALUES ($1, now() - interval '1 minute', $2, $3, $4, '@SUM(A1)', '/v1/chat/completions', 'endpoint', $5,
		       'completed', 200, false, 7, 9, 'engine', 0.15, 0.6, 0.00000645, 5)`,
		uuid.New(), w.owner.Organisation, key.ID, w.owner.UserID, uuid.New())
	ok(t, err)
	a := w.get("/usage.csv?period=24h")
	want(t, a, http.StatusOK)
	rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	ok(t, err)
	if len(rows) != 2 || len(rows[1]) != len(rows[0]) {
		t.Fatalf("rows = %q", rows)
	}
	cells := map[string]string{}
	for i, column := range rows[0] {
		cells[column] = rows[1][i]
	}
	for column, text := range map[string]string{
		"key_name": `'=HYPERLINK("x")`, "model": "'@SUM(A1)", "prompt_tokens": "7", "cost_eur": "0.00000645", "user_email": "ada@example.test",
	} {
		if cells[column] != text {
			t.Errorf("%s is %q, want %q", column, cells[column], text)
		}
	}
}
