package apptest_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// found are the figures of the tests that have passed, by heading.
var found struct {
	sync.Mutex

	byHeading map[string]string
}

// figure keeps a table for the report, and shows it. It is called at the end of
// a test.
func figure(t *testing.T, heading string, columns []string, rows ...[]any) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, row := range rows {
		for _, cell := range row {
			fmt.Fprintf(&b, "| %v ", cell)
		}
		b.WriteString("|\n")
	}
	t.Logf("%s\n%s", heading, b.String())
	if t.Failed() {
		return
	}
	found.Lock()
	defer found.Unlock()
	if found.byHeading == nil {
		found.byHeading = map[string]string{}
	}
	found.byHeading[heading] = b.String()
}

// mark ends the report's text; behind it are the figures, by heading.
const mark = "<!-- what follows is written by make kill -->\n"

// writeFigures puts the figures of this run into the report, in place of older
// ones; of tests that did not run or failed it keeps what there is.
func writeFigures() error {
	if *figures == "" {
		return nil
	}
	text, err := os.ReadFile(*figures)
	if err != nil {
		return err
	}
	prose, old, ok := strings.Cut(string(text), mark)
	if !ok {
		return fmt.Errorf("%s has no line %q", *figures, mark)
	}
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return fmt.Errorf("ask for the commit: %w", err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(old, "\n## ")[1:] {
		heading, rest, _ := strings.Cut(section, "\n")
		sections[heading] = strings.TrimSpace(rest)
	}
	found.Lock()
	defer found.Unlock()
	for heading, table := range found.byHeading {
		sections[heading] = fmt.Sprintf("%s\nMeasured on %s, at commit %s.", table, time.Now().UTC().Format(time.DateOnly), strings.TrimSpace(string(commit)))
	}
	var b strings.Builder
	b.WriteString(prose + mark)
	for _, heading := range slices.Sorted(maps.Keys(sections)) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", heading, sections[heading])
	}
	return os.WriteFile(*figures, []byte(b.String()), 0o644)
}
