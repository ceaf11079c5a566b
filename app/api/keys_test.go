package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
)

// A key is told in the same words when it is made and when it is listed, and one that
// was refused is not made.
func TestKeys_areToldAsTheyWereMade(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := map[uuid.UUID]api.Key{}
	create := func(session, body string, headers ...string) api.CreatedKey {
		t.Helper()
		var k api.CreatedKey
		a := w.as(session, "POST", "/api/v1/keys", body, headers...)
		if a.status != 201 {
			t.Fatalf("%s: %d %s", body, a.status, a.body)
		}
		a.into(t, &k)
		made[k.ID] = k.Key
		if k.Owner != "ada@example.test" {
			t.Errorf("%s: the owner is %q", body, k.Owner)
		}
		return k
	}
	create(w.Session, `{"name":"plain"}`)
	create(w.Session, `{"name":"dated","scopes":["admin","inference"],"expires_at":"2099-01-31T12:00:00.123456789+02:00"}`)
	parent := create(w.Session, `{"name":"tied","scopes":["admin"],"networks":["127.0.0.1/8"]}`)
	child := create("", `{"name":"child","scopes":["admin"]}`, "Authorization: Bearer "+parent.Text)
	if len(child.Networks) != 1 {
		t.Errorf("the child's networks are %v, not its parent's", child.Networks)
	}
	narrow := create("", `{"name":"narrow","scopes":["admin"],"networks":["127.0.0.1"]}`, "Authorization: Bearer "+parent.Text)
	if diff := cmp.Diff([]string{"127.0.0.1/32"}, narrow.Networks); diff != "" {
		t.Error(diff)
	}
	a := w.as("", "POST", "/api/v1/keys", `{"name":"beyond","scopes":["admin"],"networks":["10.0.0.0/8"]}`, "Authorization: Bearer "+parent.Text)
	if a.status != 403 || a.problem(t).Code != "networks_beyond_parent" {
		t.Errorf("a key beyond the one that makes it: %d %s", a.status, a.body)
	}
	var listed api.List[api.Key]
	w.do("GET", "/api/v1/keys", "").into(t, &listed)
	if len(listed.Items) != len(made) {
		t.Errorf("%d keys are listed of %d", len(listed.Items), len(made))
	}
	for _, k := range listed.Items {
		if k.Name == parent.Name {
			k.LastUsedAt = nil // it made the child
		}
		if diff := cmp.Diff(k, made[k.ID]); diff != "" {
			t.Errorf("%s, listed and made: %s", k.Name, diff)
		}
	}
}
