package archtest

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// schemas are the PostgreSQL schemas: one per module that keeps rows.
var schemas = []string{"auth", "catalog", "instance", "gateway", "finops"}

var (
	named      = regexp.MustCompile(`(?i)(references\s+)?\b(` + strings.Join(schemas, "|") + `)\.([a-z_]+)`)
	comments   = regexp.MustCompile(`(?m)--.*$`)
	literals   = regexp.MustCompile(`'(?:[^']|'')*'`)
	queries    = regexp.MustCompile(`^modules/([a-z]+)/queries(?:/[a-z]+)?\.sql$`)
	migration  = regexp.MustCompile(`^\d{5}_([a-z]+)_[a-z0-9_]+\.sql$`)
	statements = regexp.MustCompile(`(?is)^\s*(with\b.*\bas\b|select\b.*\bfrom\b|insert\s+into\b|update\b.*\bset\b|delete\s+from\b)`)
)

// mention is a schema's table in SQL.
type mention struct {
	schema, table string
	reference     bool // of a foreign key
}

// mentions returns the tables that text names, comments and strings left out.
func mentions(text string) []mention {
	text = literals.ReplaceAllString(comments.ReplaceAllString(text, ""), "''")
	var found []mention
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		found = append(found, mention{schema: strings.ToLower(m[2]), table: m[3], reference: m[1] != ""})
	}
	return found
}

// A module's queries read and write its own schema. What it needs of another's
// rows it asks for. They are one file, or a folder of one file per noun.
func TestQueries_nameOnlyTheirOwnSchema(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, p := range files(t, ".sql") {
		if !below(p, "modules") {
			continue
		}
		place := queries.FindStringSubmatch(p)
		if place == nil || !slices.Contains(schemas, place[1]) {
			t.Errorf("%s: queries live in modules/<module>/queries.sql or its queries/, and the module has a schema", p)
			continue
		}
		owner := place[1]
		for _, m := range mentions(read(t, p)) {
			seen++
			if m.schema != owner {
				t.Errorf("%s names %s.%s, which is another module's", p, m.schema, m.table)
			}
		}
	}
	if seen == 0 {
		t.Error("no query names any table: this test sees nothing")
	}
}

// A migration is one module's; foreign keys point where its imports point.
func TestMigrations_belongToOneModule(t *testing.T) {
	t.Parallel()
	numbers := map[string]string{}
	for _, p := range files(t, ".sql") {
		if path.Dir(p) != "migrations" {
			continue
		}
		name := migration.FindStringSubmatch(path.Base(p))
		if name == nil || !slices.Contains(schemas, name[1]) {
			t.Errorf("%s: a migration is called NNNNN_<module>_<what>.sql", p)
			continue
		}
		owner := name[1]
		if other := numbers[path.Base(p)[:5]]; other != "" {
			t.Errorf("%s and %s have the same number", p, other)
		}
		numbers[path.Base(p)[:5]] = p
		for _, m := range mentions(read(t, p)) {
			down := slices.Contains(may["modules/"+owner], "modules/"+m.schema)
			if m.schema != owner && (!m.reference || !down) {
				t.Errorf("%s names %s.%s; it is %s's", p, m.schema, m.table, owner)
			}
		}
	}
}

// SQL is written in queries.sql, where sqlc checks it against the schema.
func TestGo_holdsNoSQL(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test || s.generated || below(s.pkg, "db") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(lit.Value); err == nil && statements.MatchString(text) {
				t.Errorf("%s:%d holds SQL; put it into queries.sql", s.path, s.line(lit))
			}
			return true
		})
	}
}

func TestSQL_patternsSeeWhatTheyShould(t *testing.T) {
	t.Parallel()
	got := mentions("SELECT 'auth.users' -- auth.sessions\n FROM Instance.instances i JOIN finops.charges ON true")
	if len(got) != 2 || got[0].schema != "instance" || got[1].table != "charges" {
		t.Errorf("mentions = %v", got)
	}
	if got := mentions("user_id uuid REFERENCES auth.users ON DELETE RESTRICT"); len(got) != 1 || !got[0].reference {
		t.Errorf("mentions = %v", got)
	}
	for text, want := range map[string]bool{
		"select id from x": true, "\n  INSERT INTO x": true, "update x set a = 1": true, "delete from x": true,
		"with a as (select 1)": true, "Update the settings.": false, "Select a model": false, "with": false,
		"Delete": false, "select pg_notify($1, $2)": false,
	} {
		if statements.MatchString(text) != want {
			t.Errorf("%q is taken for SQL: %v", text, !want)
		}
	}
}
