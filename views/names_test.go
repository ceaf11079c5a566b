package views_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/views"
)

// sources returns what people wrote: templates, Go and scripts.
func sources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, pattern := range []string{"*.templ", "*.go", "assets/js/*.js"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_templ.go") || strings.HasSuffix(f, "_test.go") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(text)
		}
	}
	return b.String()
}

func TestIcon_everyNameIsKnown(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`Icon(?:\("|: ")([a-z-]+)"`).FindAllStringSubmatch(sources(t), -1) {
		names[m[1]] = true
	}
	if len(names) < 15 {
		t.Fatalf("only %d icons are used", len(names))
	}
	for name := range names {
		var b strings.Builder
		if err := views.Icon(name).Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "></svg>") && !strings.Contains(b.String(), "/></svg>") {
			t.Errorf("icon %q draws nothing", name)
		}
	}
}

// TestClasses_everyOneIsStyled finds a class in a template that no rule of the
// stylesheet and no script knows: a typing mistake, or what was left behind.
func TestClasses_everyOneIsStyled(t *testing.T) {
	t.Parallel()
	var css strings.Builder
	files, err := filepath.Glob("assets/css/*.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		css.Write(b)
	}
	styled := map[string]bool{}
	for _, m := range regexp.MustCompile(`\.([a-z][a-z0-9-]*)`).FindAllStringSubmatch(css.String(), -1) {
		styled[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`class="([^"]*)"`).FindAllStringSubmatch(sources(t), -1) {
		for class := range strings.FieldsSeq(m[1]) {
			if !styled[class] {
				t.Errorf("class %q has no rule", class)
			}
		}
	}
}

// A typed confirmation accepts the name and nothing else.
func TestConfirm_patternMeansTheName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"inst-7f2a", "a.b", "x+y(z)", "1$"} {
		c := views.ConfirmDelete("id", name)
		var b strings.Builder
		if err := c.Body().Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`pattern="([^"]*)"`).FindStringSubmatch(b.String())
		if m == nil {
			t.Fatalf("no pattern for %q", name)
		}
		re := regexp.MustCompile("^(?:" + strings.NewReplacer("&#43;", "+", "&amp;", "&").Replace(m[1]) + ")$")
		if !re.MatchString(name) || re.MatchString(name+"x") || re.MatchString(strings.ToUpper(name)+"-") {
			t.Errorf("pattern %q for %q", m[1], name)
		}
	}
}
