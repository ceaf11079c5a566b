package apptest_test

import (
	"fmt"
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

// writeFigures replaces what follows the report's last line of text with the
// figures of this run.
func writeFigures() error {
	if *figures == "" {
		return nil
	}
	const mark = "<!-- what follows is written by make kill -->\n"
	text, err := os.ReadFile(*figures)
	if err != nil {
		return err
	}
	prose, _, ok := strings.Cut(string(text), mark)
	if !ok {
		return fmt.Errorf("%s has no line %q", *figures, mark)
	}
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return fmt.Errorf("ask for the commit: %w", err)
	}
	found.Lock()
	defer found.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\nMeasured on %s, at commit %s.\n", prose, mark, time.Now().UTC().Format(time.DateOnly), strings.TrimSpace(string(commit)))
	headings := make([]string, 0, len(found.byHeading))
	for h := range found.byHeading {
		headings = append(headings, h)
	}
	slices.Sort(headings)
	for _, h := range headings {
		fmt.Fprintf(&b, "\n## %s\n\n%s", h, found.byHeading[h])
	}
	return os.WriteFile(*figures, []byte(b.String()), 0o644)
}
