package archtest

import (
	"regexp"
	"strings"
	"testing"
)

var (
	caseID   = regexp.MustCompile(`[BF]\d{2}`)
	testName = regexp.MustCompile(`(?m)^func (Test\w+)`)
	caseRow  = regexp.MustCompile(`(?m)^\| ((?:[BF]\d{2} ?)+)\|`)
)

// docs/cases.md says what each id in the name of a test is about, and lists no
// case that no test holds.
func TestCases_pageAndTestsAgree(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, row := range caseRow.FindAllStringSubmatch(read(t, "docs/cases.md"), -1) {
		for _, id := range caseID.FindAllString(row[1], -1) {
			listed[id] = true
		}
	}
	if len(listed) == 0 {
		t.Fatal("docs/cases.md lists nothing")
	}
	held := map[string]bool{}
	for _, p := range files(t, "_test.go") {
		text := read(t, p)
		for _, name := range testName.FindAllStringSubmatch(text, -1) {
			for _, id := range caseID.FindAllString(name[1], -1) {
				held[id] = true
				if !listed[id] {
					t.Errorf("%s: %s holds %s, which docs/cases.md does not say", p, name[1], id)
				}
			}
		}
		for id := range listed { // the name of a case in a table
			held[id] = held[id] || strings.Contains(text, `"`+id+" ")
		}
	}
	for id := range listed {
		if !held[id] {
			t.Errorf("docs/cases.md lists %s, which no test names", id)
		}
	}
}
