package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
)

// asked stores a request and returns its id.
func (w *world) asked(by auth.Actor, key, upstream uuid.UUID, model, named, path, status, code string, firstMillis, millis int) uuid.UUID {
	w.t.Helper()
	id := uuid.Must(uuid.NewV7())
	_, err := w.Pool.Exec(w.t.Context(), `
INSERT INTO gateway.usage_records (request_id, started_at, organisation_id, key_id, user_id, model, asked, path, upstream, upstream_id, status,
  http_status, error, streamed, prompt_tokens, completion_tokens, usage_source, input_price, output_price, cost, first_token_us, duration_us)
VALUES ($1, now() - interval '1 minute', $2, $3, $4, $5, $6, $7, 'instance', $8, $9, 200, $10, true, 10, 3, 'engine', 0, 0, 0, $11, $12)`,
		id, by.Organisation, key, by.UserID, model, named, path, upstream, status, code, 1000*firstMillis, 1000*millis)
	ok(w.t, err)
	return id
}

// records asks for records and returns their ids in order.
func (w *world) records(session, query string) []uuid.UUID {
	w.t.Helper()
	var page api.Records
	w.as(session, "GET", "/api/v1/usage/records?"+query, "").into(w.t, &page)
	ids := make([]uuid.UUID, len(page.Items))
	for i, r := range page.Items {
		ids[i] = r.RequestID
	}
	return ids
}

func TestRecords_everyFilterNarrows(t *testing.T) {
	t.Parallel()
	w := setup(t)
	user, err := w.Auth.Authenticate(t.Context(), w.Member(auth.User))
	ok(t, err)
	key, instance := uuid.New(), uuid.New()
	slow := w.asked(w.Owner, key, instance, "big/model", "fast", "/v1/chat/completions", "completed", "", 900, 5000)
	cut := w.asked(user, uuid.New(), uuid.New(), "small", "", "/v1/messages", "interrupted", "client_gone", 20, 300)
	_, err = w.Pool.Exec(t.Context(), `UPDATE gateway.usage_records SET retried = true WHERE request_id = $1`, cut)
	ok(t, err)
	from := since()
	for query, want := range map[string][]uuid.UUID{
		"":                               {cut, slow},
		"retried=true":                   {cut},
		"retried=false":                  {slow},
		"retried=true&status=completed":  nil,
		"model=big/model":                {slow},
		"model=fast":                     {slow}, // the name that was asked for
		"key=" + key.String():            {slow},
		"member=" + user.UserID.String(): {cut},
		"status=interrupted":             {cut},
		"status=completed":               {slow},
		"error=client_gone":              {cut},
		"error=upstream_lost":            nil,
		"path=/v1/messages":              {cut},
		"upstream=" + instance.String():  {slow},
		"min_duration_ms=300":            {cut, slow},
		"min_duration_ms=301":            {slow},
		"min_first_token_ms=21":          {slow},
		"model=small&status=completed":   nil,
		"member=" + w.Owner.UserID.String() + "&min_duration_ms=1":         {slow},
		"to=" + time.Now().Add(-30*time.Minute).UTC().Format(time.RFC3339): nil,
	} {
		if got := w.records(w.Session, query+"&"+from); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	if got := w.records(w.Session, "request_id="+cut.String()); !slices.Equal(got, []uuid.UUID{cut}) {
		t.Errorf("by its id: %v, want %s", got, cut)
	}
	var page api.Records
	w.do("GET", "/api/v1/usage/records?model=fast&"+from, "").into(t, &page)
	if r := page.Items[0]; r.Asked != "fast" || r.Model != "big/model" || r.Retried {
		t.Errorf("asked for %q, answered by %q, retried: %v", r.Asked, r.Model, r.Retried)
	}
	w.do("GET", "/api/v1/usage/records?request_id="+cut.String(), "").into(t, &page)
	if len(page.Items) != 1 || !page.Items[0].Retried {
		t.Errorf("asked of two servers: %+v", page.Items)
	}
}

// Whatever is asked for, nobody sees another organisation's requests, and a user
// sees nobody else's.
func TestRecords_B22_neverAnotherOnes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key, instance := uuid.New(), uuid.New()
	theirs := w.asked(w.Owner, key, instance, "m", "fast", "/v1/chat/completions", "completed", "", 1, 1)
	stranger, user, auditor := w.Stranger(), w.Member(auth.User), w.Member(auth.Auditor)
	for _, query := range []string{
		since(), "request_id=" + theirs.String(), "key=" + key.String() + "&" + since(), "upstream=" + instance.String() + "&" + since(),
		"model=fast&" + since(),
	} {
		for name, session := range map[string]string{"another organisation": stranger, "another member": user} {
			if a := w.as(session, "GET", "/api/v1/usage/records?"+query, ""); a.status != 200 || a.body != `{"items":[],"next_cursor":""}`+"\n" {
				t.Errorf("%s, %s: %d %s", name, query, a.status, a.body)
			}
		}
		if got := w.records(auditor, query); !slices.Equal(got, []uuid.UUID{theirs}) {
			t.Errorf("an auditor, %s: %v", query, got)
		}
	}
	member := "/api/v1/usage/records?member=" + w.Owner.UserID.String() + "&" + since()
	if a := w.as(user, "GET", member, ""); a.status != 403 || strings.Contains(a.body, theirs.String()) {
		t.Errorf("a user asks for another member's: %d %s", a.status, a.body)
	}
	if a := w.as(stranger, "GET", member, ""); a.status != 200 || !strings.HasPrefix(a.body, `{"items":[]`) {
		t.Errorf("a stranger asks for a member's: %d %s", a.status, a.body)
	}
	if a := w.as(user, "GET", "/api/v1/usage/records?request_id="+uuid.NewString(), ""); a.body != `{"items":[],"next_cursor":""}`+"\n" {
		t.Errorf("an unknown request: %d %s", a.status, a.body)
	}
}

func TestRecords_B24_badFilters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := uuid.NewString()
	for query, says := range map[string]string{
		"member=me":                              "not an id",
		"upstream=inst-00000000":                 "not an id",
		"request_id=%7B" + id + "%7D":            "not an id",
		"request_id=" + id + "&status=completed": "leave the other filters out",
		"request_id=" + id + "&from=2026-01-01":  "leave the other filters out",
		"error=%25":                              "such as client_gone",
		"path=/v1/../admin":                      "allowed are /v1/chat/completions, ",
		"min_duration_ms=-1":                     "0 to 86400000",
		"retried=1":                              "allowed are true, false",
		"retried=":                               "allowed are true, false",
		"min_duration_ms=1.5":                    "0 to 86400000",
		"min_first_token_ms=1e9":                 "0 to 86400000",
		"from=2026-02-01&to=2026-01-01":          "before",
		"offset=10":                              "known are: cursor, error, from, ",
	} {
		a := w.do("GET", "/api/v1/usage/records?"+query, "")
		p := a.problem(t)
		if a.status != 400 || p.Code != "invalid_parameter" || !strings.Contains(p.Detail+p.Fix, says) || len(p.Errors) != 1 {
			t.Errorf("%s: %d %s %q; want 400 invalid_parameter with %q", query, a.status, p.Code, p.Detail+p.Fix, says)
		}
	}
	for _, path := range gateway.Paths() {
		if a := w.do("GET", "/api/v1/usage/records?path="+path, ""); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// A page that is asked for while requests go on begins where the one before
// ended: none is left out, none comes twice, the new ones are not on it.
func TestRecords_pagesAreStableWhileRequestsGoOn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.meter(90)
	seen := map[uuid.UUID]bool{}
	cursor := ""
	for range 3 {
		var page api.Records
		w.do("GET", fmt.Sprintf("/api/v1/usage/records?limit=30&%s&cursor=%s", since(), cursor), "").into(t, &page)
		for _, r := range page.Items {
			seen[r.RequestID] = true
		}
		cursor = page.NextCursor
		w.asked(w.Owner, uuid.New(), uuid.New(), "late", "", "/v1/completions", "completed", "", 1, 1)
		w.meter(3) // newer than those on any page to come
	}
	if len(seen) != 90 {
		t.Errorf("%d requests on three pages of 30, want 90", len(seen))
	}
}
