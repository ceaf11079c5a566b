package api_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/app/worldtest"
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

// Lines about people, sessions, keys and models name them; what has a name of its own
// needs no other.
func TestAudit_namesWhatIsToldByItsID(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var key api.CreatedKey
	w.do("POST", "/api/v1/keys", `{"name":"bot"}`).into(t, &key)
	var invited api.Invited
	w.do("POST", "/api/v1/members", `{"email":"new@example.test","role":"user"}`).into(t, &invited)
	w.Member(auth.User)
	var members api.List[api.Member]
	w.do("GET", "/api/v1/members", "").into(t, &members)
	user := members.Items[slices.IndexFunc(members.Items, func(m api.Member) bool { return m.Email == "user@example.test" })]
	for _, r := range [][3]string{
		{"PUT", "/keys/" + key.ID.String() + "/limits", `{"concurrency":4}`},
		{"PUT", "/keys/" + key.ID.String() + "/networks", `{"networks":["10.0.0.0/8"]}`},
		{"PUT", "/members/" + user.ID.String() + "/limits", `{"concurrency":4}`},
		{"PUT", "/members/" + user.ID.String() + "/role", `{"role":"auditor"}`},
		{"DELETE", "/members/" + user.ID.String(), ""},
		{"PUT", "/organisation/limits", `{"concurrency":4}`},
		{"PUT", "/models/inventiv%2Fsimulated-chat/price", `{"input":"1","output":"1"}`},
		{"POST", "/aliases", `{"name":"fast","model":"inventiv/simulated-chat"}`},
		{"DELETE", "/keys/" + key.ID.String(), ""},
	} {
		if a := w.do(r[0], "/api/v1"+r[1], r[2]); a.status >= 300 {
			t.Fatalf("%s: %d %s", r, a.status, a.body)
		}
	}
	second, err := w.Auth.SignIn(t.Context(), "ada@example.test", worldtest.Password, auth.Client{})
	ok(t, err)
	again, err := w.Auth.Authenticate(t.Context(), second)
	ok(t, err)
	ok(t, w.Auth.SignOut(t.Context(), again))

	var page api.Audit
	w.do("GET", "/api/v1/audit", "").into(t, &page)
	told := map[string][]string{}
	for _, e := range page.Items {
		told[e.Action] = append(told[e.Action], e.ObjectName)
	}
	for action, want := range map[string][]string{
		"session.begin": {"ada@example.test", "user@example.test", "ada@example.test"}, "session.end": {"ada@example.test"},
		"member.invite": {"user@example.test", "new@example.test"}, "member.join": {"user@example.test"},
		"member.limit": {"user@example.test"}, "member.change_role": {"user@example.test"}, "member.remove": {"user@example.test"},
		"key.create": {"bot"}, "key.limit": {"bot"}, "key.networks": {"bot"}, "key.revoke": {"bot"},
		"organisation.limit": {"Atelier Nord"}, "price.set": {"inventiv/simulated-chat"}, "alias.add": {""},
	} {
		if diff := cmp.Diff(want, told[action]); diff != "" {
			t.Errorf("%s: %s", action, diff)
		}
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
