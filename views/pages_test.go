package views_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/views"
)

// drawn returns the HTML of a page. With INVENTIV_PREVIEW naming a folder, it
// is written there as well, to be looked at in a browser.
func drawn(t *testing.T, f fixture) string {
	t.Helper()
	var b strings.Builder
	if err := f.draw().Render(t.Context(), &b); err != nil {
		t.Fatalf("render %s: %v", f.name, err)
	}
	if dir := os.Getenv("INVENTIV_PREVIEW"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, f.name+".html"), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestPages_drawAndAreAccessible parses every page and holds it to the rules of
// the console.
func TestPages_drawAndAreAccessible(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			doc := parse(t, drawn(t, f))
			for _, rule := range rules {
				for _, complaint := range rule(doc) {
					t.Error(complaint)
				}
			}
		})
	}
}

// TestFragments_nameThemselves holds every live region to its own address.
func TestFragments_nameThemselves(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures() {
		if _, ok := f.page.(views.Live); !ok {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			checkFragments(t, f)
		})
	}
}
