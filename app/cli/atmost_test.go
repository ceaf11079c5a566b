package cli_test

import (
	"strings"
	"testing"
)

// Every list that can be long is bounded in the same way, and asks for nothing
// when it is not.
func TestLimit_refusalsAreTheSameEverywhere(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{})
	for _, verb := range []string{"usage records", "audit list"} {
		for _, bad := range []string{"0", "-1", "abc", "1.5", "1e3", "99999999999999999999", ""} {
			r := run(t, s.URL, verb+" --limit="+bad)
			if says := `for "--limit" flag: it is a whole number from 1 on, or all.`; r.exit != 2 || r.out != "" || !strings.Contains(r.err, says) {
				t.Errorf("%s --limit=%s: exit %d, output %q, %s; want exit 2 and %q", verb, bad, r.exit, r.out, r.err, says)
			}
		}
	}
}
