package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// asked stores a request that an endpoint answered and returns its id.
func (w *world) asked(by auth.Actor, key uuid.UUID, model, named, status, code string, ago time.Duration) string {
	w.t.Helper()
	id := uuid.Must(uuid.NewV7())
	_, err := w.Pool.Exec(w.t.Context(), `
INSERT INTO gateway.usage_records (request_id, started_at, organisation_id, key_id, user_id, model, asked, path, upstream, upstream_id, status,
  http_status, error, streamed, prompt_tokens, completion_tokens, usage_source, input_price, output_price, cost, first_token_us, duration_us)
VALUES ($1, now() - $2::interval, $3, $4, $5, $6, $7, '/v1/chat/completions', 'endpoint', gen_random_uuid(), $8, 200, $9, true, 10, 101,
  'engine', 0.2, 0.4, 0.000042, 500000, 2500000)`, id, ago, by.Organisation, key, by.UserID, model, named, status, code)
	ok(w.t, err)
	return id.String()
}

func TestRequests_filtersComeFromTheAddress(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key, _, err := w.Auth.CreateKey(t.Context(), w.Owner, "billing-bot", auth.ScopeInference, time.Time{}, nil)
	ok(t, err)
	whole := w.asked(w.Owner, key.ID, "big/model", "fast", "completed", "", time.Minute)
	cut := w.asked(w.Owner, uuid.New(), "small", "", "interrupted", "client_gone", 2*time.Minute)
	old := w.asked(w.Owner, key.ID, "small", "", "completed", "", 50*time.Hour)
	_, err = w.Pool.Exec(t.Context(), `UPDATE gateway.usage_records SET retried = true WHERE request_id = $1`, cut)
	ok(t, err)
	now := time.Now().UTC()
	for query, shown := range map[string][]string{
		"":                                   {whole, cut},
		"?period=7d":                         {whole, cut, old},
		"?model=fast":                        {whole},
		"?model=%25":                         nil,
		"?key=" + key.ID.String():            {whole},
		"?status=interrupted&model=":         {cut},
		"?error=client_gone":                 {cut},
		"?path=/v1/messages":                 nil,
		"?retried=true":                      {cut},
		"?retried=false":                     {whole},
		"?min_duration_ms=2501":              nil,
		"?min_first_token_ms=500":            {whole, cut},
		"?upstream=" + uuid.NewString():      nil,
		"?member=" + w.Owner.UserID.String(): {whole, cut},
		"?from=" + now.Add(-60*time.Hour).Format("2006-01-02T15:04") + "&to=" + now.Add(-40*time.Hour).Format("2006-01-02T15:04"): {old},
	} {
		a := w.get("/requests" + query)
		want(t, a, http.StatusOK)
		for _, id := range []string{whole, cut, old} {
			if strings.Contains(a.body, id) != contains(shown, id) {
				t.Errorf("%s: request %s is shown: %t", query, id, !contains(shown, id))
			}
		}
	}
	want(t, w.get("/requests?model=fast"), http.StatusOK, "1 request in the last 24 hours", `value="fast"`, "fast →", "billing-bot", "50.0", "Show all of them")
	want(t, w.get("/requests?error=client_gone"), http.StatusOK, "client left", "The client left before")
	want(t, w.get("/requests?model=nothing"), http.StatusOK, "No request like that")
	want(t, w.get("/requests/"+whole), http.StatusOK, whole, "Asked for", "fast", "billing-bot", "by the engine", "Answered in 2.50 s")
	if a := w.get("/requests?request_id=+" + cut); a.status != http.StatusSeeOther || a.header.Get("Location") != "/requests/"+cut {
		t.Errorf("an id leads to %d %s", a.status, a.header.Get("Location"))
	}
}

func contains(list []string, s string) bool { return strings.Contains(strings.Join(list, " "), s) }

func TestRequests_B24_refusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for query, field := range map[string]string{
		"key=x": "key", "member=1": "member", "upstream=%27": "upstream", "request_id=req-1": "request_id", "before=tampered": "before",
		"min_duration_ms=-1": "min_duration_ms", "min_first_token_ms=soon": "min_first_token_ms", "retried=1": "retried", "from=yesterday": "from", "to=9999999": "to",
		"from=2026-02-01T00:00&to=2026-01-01T00:00": "from", "model=a%00b": "model", "path=%FF": "model", "model=" + strings.Repeat("m", 501): "model",
	} {
		want(t, w.get("/requests?"+query), http.StatusUnprocessableEntity, `href="#`+field+`"`)
	}
}

func TestRequests_pagesGoOnWhereTheLastEnded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const n = 120
	ids := map[string]bool{}
	for i := range n {
		ids[w.asked(w.Owner, uuid.Nil, "m", "", "completed", "", time.Duration(i/4)*time.Second)] = true
	}
	path, pages := "/requests?model=m", 0
	for ; path != "" && pages < n; pages++ {
		a := w.get(path)
		want(t, a, http.StatusOK)
		for id := range ids {
			if strings.Contains(a.body, `href="/requests/`+id) {
				delete(ids, id)
			}
		}
		_, after, found := strings.Cut(a.body, `rel="next" href="`)
		if path = ""; found {
			path, _, _ = strings.Cut(after, `"`)
			path = strings.ReplaceAll(path, "&amp;", "&")
		}
	}
	if len(ids) != 0 || pages != 3 {
		t.Errorf("%d requests are on none of %d pages", len(ids), pages)
	}
}

// Nobody sees another organisation's requests, nor a user another member's:
// neither in the list, whatever it is narrowed to, nor by the id.
func TestRequests_B22_neverAnotherOnes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key := uuid.New()
	theirs := w.asked(w.Owner, key, "m", "fast", "completed", "", time.Minute)
	for name, session := range map[string]string{"another organisation": w.Stranger(), "another member": w.Member(auth.User)} {
		for _, path := range []string{"/requests", "/requests?model=m", "/requests?key=" + key.String(), "/requests?period=7d&status=completed"} {
			a := w.as(session, path, nil)
			want(t, a, http.StatusOK)
			if strings.Contains(a.body, theirs) || strings.Contains(a.body, "fast →") {
				t.Errorf("%s sees it on %s", name, path)
			}
		}
		for _, id := range []string{theirs, uuid.NewString(), "x"} {
			want(t, w.as(session, "/requests/"+id, nil), http.StatusNotFound)
		}
	}
	user := w.as(w.Member(auth.Manager), "/requests?member="+w.Owner.UserID.String(), nil)
	want(t, user, http.StatusOK, theirs)
}

func TestRequests_aUserIsNotOfferedOtherMembers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	session := w.Member(auth.User)
	if a := w.as(session, "/requests", nil); strings.Contains(a.body, `name="member"`) {
		t.Error("a user can choose a member")
	}
	want(t, w.as(session, "/requests?member="+w.Owner.UserID.String(), nil), http.StatusForbidden, "not those of another member")
}
