package archtest

import (
	"regexp"
	"strings"
	"testing"
)

var (
	required = regexp.MustCompile(`(?m)^\s*(?:require )?([a-z0-9.]+\.[a-z]+/\S+) (v\S+)`)
	row      = regexp.MustCompile(`(?m)^\| ([a-z0-9.]+\.[a-z]+/\S+) \| (v\S+) \| (\S+) \| (.+) \|$`)
)

// Every module that our code imports is in docs/dependencies.md with its
// version, licence and reason, and nothing is listed that go.mod does not have.
func TestDependencies_areListed(t *testing.T) {
	t.Parallel()
	versions := map[string]string{}
	for _, m := range required.FindAllStringSubmatch(read(t, "go.mod"), -1) {
		versions[m[1]] = m[2]
	}
	listed := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/dependencies.md"), -1) {
		listed[m[1]] = true
		if versions[m[1]] != m[2] {
			t.Errorf("docs/dependencies.md has %s %s, go.mod has %q", m[1], m[2], versions[m[1]])
		}
	}
	if len(listed) == 0 {
		t.Fatal("docs/dependencies.md lists nothing")
	}
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			first, _, _ := strings.Cut(imported, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(imported, module) {
				continue
			}
			if owner := ownerOf(imported, versions); owner == "" {
				t.Errorf("%s imports %s, which is not in go.mod", s.path, imported)
			} else if !listed[owner] {
				t.Errorf("%s imports %s; docs/dependencies.md does not say why", s.path, owner)
				listed[owner] = true // once is enough
			}
		}
	}
}

// ownerOf returns the module in go.mod that holds the package.
func ownerOf(pkg string, versions map[string]string) string {
	owner := ""
	for m := range versions {
		if below(pkg, m) && len(m) > len(owner) {
			owner = m
		}
	}
	return owner
}
