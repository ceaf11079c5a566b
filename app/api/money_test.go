package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// meter stores n requests of the owner's, one a second, the last one now.
func (w *world) meter(n int) {
	w.t.Helper()
	_, err := w.Pool.Exec(w.t.Context(), `
INSERT INTO gateway.usage_records (request_id, started_at, organisation_id, user_id, model, path, upstream, upstream_id, status, http_status,
  streamed, prompt_tokens, completion_tokens, usage_source, input_price, output_price, cost, duration_us)
SELECT gen_random_uuid(), now() - make_interval(secs => i / 3), $1, $2, 'm', '/v1/chat/completions', 'instance', gen_random_uuid(),
       CASE WHEN i % 5 = 0 THEN 'interrupted' ELSE 'completed' END, 200, true, 10, 3, 'engine', 0.2, 0.4, 0.000000001, 1500
  FROM generate_series(1, $3) i`, w.Owner.Organisation, w.Owner.UserID, n)
	ok(w.t, err)
}

func since() string { return "from=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) }

func TestUsage_pagesAddUpToTheSummary(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const n = 250
	w.meter(n)
	var sum api.Usage
	w.do("GET", "/api/v1/usage/summary?"+since(), "").into(t, &sum)
	if sum.Requests != n || sum.PromptTokens != 10*n || sum.CompletionTokens != 3*n || sum.Interrupted != n/5 || sum.Cost != n*money.Nano {
		t.Errorf("summary %+v", sum)
	}
	seen := map[uuid.UUID]bool{}
	last, cursor := time.Now().Add(time.Hour), ""
	for page := 0; page == 0 || cursor != ""; page++ {
		var p api.Records
		w.do("GET", "/api/v1/usage/records?limit=60&"+since()+"&cursor="+cursor, "").into(t, &p)
		for _, r := range p.Items {
			if seen[r.RequestID] || r.StartedAt.After(last) || r.DurationMillis != 1.5 {
				t.Errorf("record %+v came twice, or out of order", r)
			}
			seen[r.RequestID], last = true, r.StartedAt
		}
		cursor = p.NextCursor
		if page > n {
			t.Fatal("the pages do not end")
		}
	}
	if len(seen) != n {
		t.Errorf("%d records on all pages, want %d", len(seen), n)
	}
	var cut api.Records
	w.do("GET", "/api/v1/usage/records?status=interrupted&"+since(), "").into(t, &cut)
	if len(cut.Items) != n/5 || slices.ContainsFunc(cut.Items, func(r api.Record) bool { return r.Status != "interrupted" }) {
		t.Errorf("%d interrupted records, want %d", len(cut.Items), n/5)
	}
	for _, other := range []string{w.Stranger(), w.Member(auth.User)} {
		if a := w.as(other, "GET", "/api/v1/usage/records?"+since(), ""); !strings.HasPrefix(a.body, `{"items":[]`) {
			t.Errorf("somebody else sees %s", a.body)
		}
	}
}

func TestCosts_chargesAndDaysAddUp(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.Pool.Exec(t.Context(), `
INSERT INTO finops.charges (id, organisation_id, instance_id, instance, model, provider, zone, kind, description, price_per_hour, started_at, ended_at, version)
SELECT gen_random_uuid(), $1, gen_random_uuid(), 'inst-' || i, 'm' || i % 2, 'mock', 'local-1', 'server', 'x', 0.7875 + i,
       now() - make_interval(hours => 70, secs => i), now() - make_interval(hours => 10 * i), now() FROM generate_series(1, 5) i`, w.Owner.Organisation)
	ok(t, err)
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	query := fmt.Sprintf("?from=%s&to=%s", midnight.AddDate(0, 0, -4).Format(time.DateOnly), midnight.AddDate(0, 0, 1).Format(time.DateOnly))
	var charges api.List[api.Charge]
	w.do("GET", "/api/v1/costs/charges"+query, "").into(t, &charges)
	var days api.List[api.Day]
	w.do("GET", "/api/v1/costs/days"+query, "").into(t, &days)
	var byCharge, byDay, byModel money.EUR
	for _, c := range charges.Items {
		byCharge += c.Amount
	}
	for _, d := range days.Items {
		byDay += d.Amount
		for _, part := range d.ByModel {
			byModel += part
		}
	}
	if len(charges.Items) != 5 || len(days.Items) != 5 || byCharge == 0 || byCharge != byDay || byDay != byModel {
		t.Errorf("%d charges add up to %s, %d days to %s, models to %s", len(charges.Items), byCharge, len(days.Items), byDay, byModel)
	}
	var now api.Costs
	w.do("GET", "/api/v1/costs/current", "").into(t, &now)
	if now.BurnRate != 0 || now.Forecast != now.MonthToDate {
		t.Errorf("nothing runs, yet %+v", now)
	}
}
