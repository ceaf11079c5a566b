package archtest

import (
	"slices"
	"strings"
	"testing"
)

// may says which of our packages a package may import: the longest prefix that
// matches decides, and a package may always import what lies below itself. A
// package that matches nothing fails the test: a new one states its place.
// "a/..." allows a and everything below it.
var may = map[string][]string{
	".": {"app/...", "modules/agent/..."}, // main chooses a command

	// Leaves know nothing of ours, except how to say that something is wrong.
	"app/fault":    {},
	"app/loop":     {},
	"app/money":    {},
	"app/keyring":  {"app/fault"},
	"app/config":   {"app/fault"},
	"app/socket":   {},
	"app/http1":    {"app/socket"},
	"app/upstream": {"app/socket"},
	"views":        {"app/money"},
	"migrations":   {},

	// Glue without business.
	"app/web": {"app/fault"},
	"db":      {"app/fault"},

	// Composition: app builds everything; pages and the JSON API join modules
	// (docs/adr/0008); client verbs speak HTTP only.
	"app":           {"app/...", "db/...", "migrations", "modules/..."},
	"app/console":   {"app/fault", "app/loop", "app/money", "app/web", "modules/...", "views/..."},
	"app/api":       {"app/fault", "app/loop", "app/money", "app/web", "modules/..."},
	"app/cli":       {"app/config", "app/money"},
	"app/archtest":  {},
	"app/apptest":   {}, // its tests start the program
	"app/worldtest": {},

	// Modules: downwards only.
	"modules/events":  slices.Concat(platform),
	"modules/auth":    slices.Concat(platform, []string{"app/web", "modules/events"}),
	"modules/catalog": slices.Concat(platform, []string{"modules/auth", "modules/events"}),
	"modules/instance": slices.Concat(platform, []string{
		"modules/auth", "modules/catalog", "modules/events", "modules/agent/wire", "modules/agent/tunnel",
	}),
	"modules/finops":  slices.Concat(platform, []string{"modules/auth", "modules/events"}),
	"modules/gateway": slices.Concat(platform, []string{"app/upstream", "modules/auth", "modules/events"}),

	// Parts of modules with a narrower place than their module.
	"modules/gateway/balance": {},
	"modules/gateway/limit":   {"app/money"},
	"modules/gateway/openai":  {},
	"modules/gateway/spool":   {"app/fault", "app/money"},

	// Translators between other APIs and chat completions.
	"modules/gateway/anthropic": {"modules/gateway/chat", "modules/gateway/openai"},
	"modules/gateway/chat":      {"modules/gateway/openai"},
	"modules/gateway/responses": {"modules/gateway/chat", "modules/gateway/openai"},

	// The node's side: no database, no web framework.
	"modules/agent":      {"app/fault", "app/http1", "app/socket", "app/upstream"},
	"modules/agent/wire": {},

	// Measuring programs are clients of what they measure.
	"bench":         {"modules/agent/..."},
	"bench/routing": {"modules/gateway/balance"}, // it simulates with the real thing
}

// platform is what every module may stand on.
var platform = []string{"db", "app/fault", "app/loop", "app/money", "app/keyring"}

// forTests are packages that only tests import.
var forTests = []string{
	"app/worldtest", "db/dbtest", "modules/instance/providertest", "modules/agent/agenttest",
}

func TestImports_followTheTable(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		rule, ok := ruleFor(s.pkg)
		if !ok {
			t.Errorf("%s: package %s is not in the table of imports; give it a place in app/archtest", s.path, s.pkg)
			continue
		}
		if s.test || slices.ContainsFunc(forTests, func(dir string) bool { return below(s.pkg, dir) }) {
			continue // tests may put anything together
		}
		for _, imported := range s.imports() {
			if slices.Contains(forTests, imported) {
				t.Errorf("%s imports %s, which is for tests", s.path, imported)
			}
			if !allowed(s.pkg, rule, imported) {
				t.Errorf("%s imports %s; %s may import only %s and what is below it",
					s.path, imported, rule, strings.Join(may[rule], ", "))
			}
		}
	}
}

// The table itself must be tight enough to mean something.
func TestImports_tableRefuses(t *testing.T) {
	t.Parallel()
	for _, arrow := range [][2]string{
		{"modules/catalog", "modules/instance"}, {"modules/auth", "modules/gateway"},
		{"modules/gateway", "modules/instance"}, {"modules/instance", "modules/finops"},
		{"modules/instance", "modules/gateway/openai"}, {"modules/agent/engine", "db"},
		{"modules/agent/wire", "app/fault"}, {"modules/gateway/openai", "app/fault"},
		{"views/ui", "modules/auth"}, {"app/web", "modules/auth"}, {"app/cli", "modules/auth"},
		{"db", "modules/auth"}, {"app/loop", "app/fault"}, {"modules/instance/scaleway", "modules/finops"},
		{"modules/auth", "app"},
	} {
		rule, ok := ruleFor(arrow[0])
		if !ok || allowed(arrow[0], rule, arrow[1]) {
			t.Errorf("the table lets %s import %s", arrow[0], arrow[1])
		}
	}
	for _, arrow := range [][2]string{
		{"app", "modules/instance/mock"}, {"modules/instance/scaleway", "modules/instance"},
		{"modules/instance", "modules/instance/internal/instancedb"}, {"modules/agent/engine", "modules/agent/wire"},
		{".", "app"}, {"modules/gateway", "modules/gateway/openai"},
	} {
		rule, ok := ruleFor(arrow[0])
		if !ok || !allowed(arrow[0], rule, arrow[1]) {
			t.Errorf("the table keeps %s from importing %s", arrow[0], arrow[1])
		}
	}
	if rule, ok := ruleFor("modules/newcomer"); ok {
		t.Errorf("a package that nobody listed falls under %s", rule)
	}
}

// ruleFor returns the entry of the table that decides for pkg. The entry of app
// is for that package alone: what is below it states its own place.
func ruleFor(pkg string) (rule string, ok bool) {
	for dir := range may {
		if pkg == dir || below(pkg, dir) && dir != "app" && dir != "." {
			if !ok || len(dir) > len(rule) {
				rule, ok = dir, true
			}
		}
	}
	return rule, ok
}

// allowed reports whether the entry rule lets pkg import imported. Inside one
// module everything may be imported but where an entry of its own says less.
func allowed(pkg, rule, imported string) bool {
	if below(imported, rule) && rule != "app" && rule != "." {
		return true
	}
	for _, a := range may[rule] {
		if dir, whole := strings.CutSuffix(a, "/..."); whole && below(imported, dir) || imported == a {
			return imported != "app" || pkg == "." // package app is for main only
		}
	}
	return false
}
