package api_test

import (
	"slices"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func TestAudit_saysWhoChangedWhat(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if a := w.do("POST", "/api/v1/aliases", `{"name":"fast","model":"inventiv/simulated-chat"}`); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var newest, older api.Audit
	w.do("GET", "/api/v1/audit?limit=1", "").into(t, &newest)
	if len(newest.Items) != 1 || newest.NextCursor == "" {
		t.Fatalf("%+v", newest)
	}
	if e := newest.Items[0]; e.Action != "alias.add" || e.Object != "fast" || e.ActorName != "ada@example.test" || e.Actor != "user:"+w.Owner.UserID.String() ||
		string(e.Detail) != `{"model":"inventiv/simulated-chat"}` || e.IP == "" {
		t.Errorf("the newest is %+v", e)
	}
	w.do("GET", "/api/v1/audit?cursor="+newest.NextCursor, "").into(t, &older)
	if len(older.Items) == 0 || older.NextCursor != "" || slices.ContainsFunc(older.Items, func(e api.AuditEntry) bool { return e.ID >= newest.Items[0].ID }) {
		t.Errorf("the rest is %+v", older)
	}
	if a := w.do("GET", "/api/v1/audit?cursor=0x1", ""); a.status != 400 {
		t.Errorf("a cursor of somebody's own: %d %s", a.status, a.body)
	}
}

func TestAudit_B22_isTheOrganisationsOwn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stranger, user, auditor := w.Stranger(), w.Member(auth.User), w.Member(auth.Auditor)
	if a := w.as(user, "GET", "/api/v1/audit", ""); a.status != 403 {
		t.Errorf("a user: %d %s", a.status, a.body)
	}
	if a := w.as(auditor, "GET", "/api/v1/audit", ""); a.status != 200 {
		t.Errorf("an auditor: %d %s", a.status, a.body)
	}
	var ours, theirs api.Audit
	w.do("GET", "/api/v1/audit", "").into(t, &ours)
	w.as(stranger, "GET", "/api/v1/audit", "").into(t, &theirs)
	if len(ours.Items) == 0 || len(theirs.Items) == 0 {
		t.Fatalf("%d lines of ours, %d of theirs", len(ours.Items), len(theirs.Items))
	}
	for _, e := range theirs.Items {
		if slices.ContainsFunc(ours.Items, func(o api.AuditEntry) bool { return o.ID == e.ID }) {
			t.Errorf("both see %+v", e)
		}
	}
}
