package console_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestAudit_saysWhoDidWhatAndGoesOn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	want(t, w.post("/keys", fields("name", "ci", "scope", "inference")), http.StatusOK)
	_, err := w.Pool.Exec(t.Context(), `
INSERT INTO auth.audit (organisation_id, actor, actor_name, action, object, detail, ip)
SELECT $1, 'key:' || gen_random_uuid(), 'night-shift', 'deployment.wake', 'chat-' || lpad(n::text, 2, '0'), '{"model": "m", "by": 7}', '198.51.100.7' FROM generate_series(1, 60) n`,
		w.Owner.Organisation)
	ok(t, err)
	first := w.get("/audit")
	want(t, first, http.StatusOK, "night-shift", "API key", "deployment.wake", "chat-60", "by=7 model=m", "198.51.100.7", "400 days")
	if strings.Contains(first.body, "chat-10") || !strings.Contains(first.body, "chat-11") {
		t.Error("the first page does not hold the newest fifty")
	}
	_, rest, found := strings.Cut(first.body, `href="/audit?before=`)
	if !found {
		t.Fatal("nothing leads on")
	}
	last, _, _ := strings.Cut(rest, `"`)
	want(t, w.get("/audit?before="+last), http.StatusOK, "chat-10", "chat-01", "ada@example.test", "key.create", "ci", "id=", "Back to the newest")
	session := `session.begin</td><td data-label="To">ada@example.test <span class="sub">id=`
	want(t, w.get("/audit?before="+last), http.StatusOK, session)
	want(t, w.get("/audit?before=1"), http.StatusOK, "This is where the audit begins.")
	for _, bad := range []string{"x", "-1", "0", "99999999999999999999"} {
		want(t, w.get("/audit?before="+bad), http.StatusNotFound)
	}
	stranger := w.as(w.Stranger(), "/audit", nil)
	if strings.Contains(stranger.body, "night-shift") {
		t.Error("another organisation sees it")
	}
}
