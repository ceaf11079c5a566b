package api_test

import (
	"slices"
	"strings"
	"testing"
)

// lists returns the paths of the document that can be read without naming
// anything, and whether they take a limit.
func lists(t *testing.T, w *world) map[string]bool {
	t.Helper()
	var doc struct {
		Paths map[string]struct {
			Get *struct {
				Parameters []struct{ Name string } `json:"parameters"`
			} `json:"get"`
		} `json:"paths"`
	}
	w.do("GET", "/api/v1/openapi.json", "").into(t, &doc)
	found := map[string]bool{}
	for path, methods := range doc.Paths {
		if methods.Get != nil && !strings.Contains(path, "{") {
			found[path] = slices.ContainsFunc(methods.Get.Parameters, func(p struct{ Name string }) bool { return p.Name == "limit" })
		}
	}
	return found
}

// A list that takes a limit takes 1 to 1000 of it, another one takes none: every
// one says so, and names the field.
func TestLists_B24_limits(t *testing.T) {
	t.Parallel()
	w := setup(t)
	limited := 0
	all := lists(t, w)
	for path, takes := range all {
		says := "there is no such parameter here"
		if takes {
			limited++
			says = "allowed are 1 to 1000"
			for _, good := range []string{"1", "1000"} {
				if a := w.do("GET", path+"?limit="+good, ""); a.status != 200 {
					t.Errorf("%s?limit=%s: %d %s", path, good, a.status, a.body)
				}
			}
		}
		for _, bad := range []string{"0", "-1", "abc", "1.5", "1e3", "1001", "100000", "99999999999999999999", "", "%20"} {
			a := w.do("GET", path+"?limit="+bad, "")
			if p := a.problem(t); a.status != 400 || p.Code != "invalid_parameter" || len(p.Errors) != 1 || p.Errors[0].Pointer != "/limit" ||
				!strings.Contains(p.Detail, "The parameter limit cannot be accepted: "+says) {
				t.Errorf("%s?limit=%s: %d %s; want 400 that names limit, with %q", path, bad, a.status, a.body, says)
			}
		}
	}
	if limited < 3 || len(all) < 15 {
		t.Errorf("of %d lists %d take a limit: this test does not see them", len(all), limited)
	}
}
