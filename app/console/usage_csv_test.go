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

// use makes a key of the actor's and a record of its use.
func (w *world) use(by auth.Actor, keyName string) {
	w.t.Helper()
	key, _, err := w.Auth.CreateKey(w.t.Context(), by, keyName, auth.ScopeInference, time.Time{}, nil)
	ok(w.t, err)
	_, err = w.Pool.Exec(w.t.Context(), `
		INSERT INTO gateway.usage_records (request_id, started_at, organisation_id, key_id, user_id, model, path, upstream, upstream_id,
		       status, http_status, streamed, prompt_tokens, completion_tokens, usage_source, input_price, output_price, cost, duration_us)
		VALUES ($1, now() - interval '1 minute', $2, $3, $4, '@SUM(A1)', '/v1/chat/completions', 'endpoint', $5,
		       'completed', 200, false, 7, 9, 'engine', 0.15, 0.6, 0.00000645, 5)`,
		uuid.New(), by.Organisation, key.ID, by.UserID, uuid.New())
	ok(w.t, err)
}

// Whoever may see everybody's usage sees whose it is, also when a member has
// left; who may see his own sees nobody else's.
func TestUsage_namesKeysAndOwnersToWhoMaySeeAll(t *testing.T) {
	t.Parallel()
	w := setup(t)
	gone, err := w.Auth.Authenticate(t.Context(), w.Member(auth.User))
	ok(t, err)
	w.use(w.Owner, "owners-key")
	w.use(gone, "key-of-one-who-left")
	ok(t, w.Auth.RemoveMember(t.Context(), w.Owner, gone.UserID))
	for _, role := range []auth.Role{auth.Admin, auth.Manager, auth.Auditor} {
		session := w.Member(role)
		want(t, w.as(session, "/usage?by=key&period=24h", nil), http.StatusOK, "owners-key", "ada@example.test", "key-of-one-who-left", "user@example.test")
		want(t, w.as(session, "/usage.csv?period=24h", nil), http.StatusOK, "owners-key", "key-of-one-who-left", "user@example.test")
	}
	if a := w.as(w.Member(auth.User), "/usage?by=key&period=24h", nil); strings.Contains(a.body, "owners-key") {
		t.Error("a user is shown another member's key")
	}
}

// A key or a model can be named like a formula; the export never holds one.
func TestUsageCSV_noNameIsAFormula(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.use(w.Owner, `=HYPERLINK("x")`)
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
