package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func TestLimits_areSetSeenAndTakenAway(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var key api.CreatedKey
	w.do("POST", "/api/v1/keys", `{"name":"bot","networks":["10.0.0.0/8","192.0.2.7"]}`).into(t, &key)
	if diff := cmp.Diff([]string{"10.0.0.0/8", "192.0.2.7/32"}, key.Networks); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{"/keys/" + key.ID.String(), "/members/" + w.Owner.UserID.String(), "/organisation"} {
		path = "/api/v1" + path + "/limits"
		var none, set, read api.Limits
		w.do("GET", path, "").into(t, &none)
		a := w.do("PUT", path, `{"requests_per_minute":60,"tokens_per_minute":9000,"concurrency":4,"max_tokens":500,"models":["a/b"],"budget":"10,5"}`)
		if a.status != 200 {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		a.into(t, &set)
		w.do("GET", path, "").into(t, &read)
		if diff := cmp.Diff(set, read); diff != "" {
			t.Error(diff)
		}
		if none.RequestsPerMinute != 0 || set.RequestsPerMinute != 60 || set.TokensPerMinute != 9000 || set.Concurrency != 4 || set.MaxTokens != 500 ||
			set.Budget.String() != "10.50" || set.Period != "month" || set.ResetsAt == nil || set.Spent != 0 || len(set.Models) != 1 || set.ID != none.ID {
			t.Errorf("%s: before %+v, then %+v", path, none, set)
		}
	}
	var all api.List[api.Limits]
	w.do("GET", "/api/v1/limits", "").into(t, &all)
	if len(all.Items) != 3 {
		t.Errorf("%+v", all)
	}
	w.do("PUT", "/api/v1/organisation/limits", `{}`)
	w.do("GET", "/api/v1/limits", "").into(t, &all)
	if len(all.Items) != 2 {
		t.Errorf("after the organisation's were taken away: %+v", all)
	}
	if a := w.do("PUT", "/api/v1/keys/"+key.ID.String()+"/networks", `{"networks":[]}`); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.do("GET", "/api/v1/keys", ""); strings.Contains(a.body, "networks") {
		t.Errorf("networks are left: %s", a.body)
	}
}

func TestLimits_B31_refusals(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, body := range []string{
		`{"budget":"-1"}`, `{"budget":"1e30"}`, `{"budget":"0.0000001"}`, `{"budget":"10 USD"}`, `{"budget":"99999999999"}`, `{"budget":"5","period":"week"}`,
		`{"requests_per_minute":-1}`, `{"tokens_per_minute":9000000000000}`, `{"models":[""]}`,
	} {
		if a := w.do("PUT", "/api/v1/organisation/limits", body); a.status != 422 || len(a.problem(t).Errors) != 1 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	for path, body := range map[string]string{
		"/keys/" + uuid.NewString() + "/limits":    `{}`,
		"/keys/" + uuid.NewString() + "/networks":  `{"networks":[]}`,
		"/members/" + uuid.NewString() + "/limits": `{}`,
	} {
		if a := w.do("PUT", "/api/v1"+path, body); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := w.do("PUT", "/api/v1/keys/"+uuid.NewString()+"/networks", `{"networks":["localhost"]}`); a.status != 422 {
		t.Errorf("%d %s", a.status, a.body)
	}
	user := w.Member(auth.User)
	if a := w.as(user, "PUT", "/api/v1/organisation/limits", `{}`); a.status != 403 {
		t.Errorf("a user: %d %s", a.status, a.body)
	}
	if a := w.as(user, "GET", "/api/v1/members/"+w.Owner.UserID.String()+"/limits", ""); a.status != 404 {
		t.Errorf("somebody else's: %d %s", a.status, a.body)
	}
}

// A refused change leaves the key usable from where it is used.
func TestNetworks_aKeyDoesNotShutItselfOut(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var key api.CreatedKey
	w.do("POST", "/api/v1/keys", `{"name":"bot","scopes":["admin"]}`).into(t, &key)
	path, bearer := "/api/v1/keys/"+key.ID.String()+"/networks", "Authorization: Bearer "+key.Text
	a := w.as("", "PUT", path, `{"networks":["10.0.0.0/8"]}`, bearer)
	if p := a.problem(t); a.status != 422 || p.Code != "networks_exclude_caller" || len(p.Errors) != 1 || p.Errors[0].Pointer != "/networks" ||
		!strings.Contains(p.Detail, "127.0.0.1") {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, body := range []string{`{"networks":["127.0.0.0/8"]}`, `{"networks":["127.0.0.1"]}`} {
		if a := w.as("", "PUT", path, body, bearer); a.status != 204 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if a := w.do("PUT", path, `{"networks":["10.0.0.0/8"]}`); a.status != 204 {
		t.Errorf("a session: %d %s", a.status, a.body)
	}
}
