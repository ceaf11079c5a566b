package db_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/db/cluster"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

var update = flag.Bool("update", false, "rewrite db/schema.sql")

const schemaHead = `-- What all migrations add up to. Generated, for people who want to read the
-- schema in one piece and for the diff of a change:
--
--   go test ./db -run TestSchema -update
`

// TestSchema_isWhatTheMigrationsAddUpTo shows what a migration really changes
// in the diff of the commit that brings it.
func TestSchema_isWhatTheMigrationsAddUpTo(t *testing.T) {
	t.Parallel()
	const golden = "schema.sql"
	got := schemaHead + dump(t, dbtest.URL(t))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("db/schema.sql is not what the migrations make (-file +database); "+
			"if the change is meant, run: go test ./db -run TestSchema -update\n%s", diff)
	}
}

// noise matches what pg_dump writes about itself and the session: it differs
// between versions and says nothing about the schema.
var noise = regexp.MustCompile(`(?m)^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n`)

// dump returns the schema of the database as SQL.
func dump(t *testing.T, url string) string {
	t.Helper()
	bin, err := cluster.FindBinaries("", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--schema-only", "--no-owner", "--no-privileges",
		"--exclude-table=public.goose_db_version", "--exclude-table=public.goose_db_version_id_seq", url)
	var fault strings.Builder
	cmd.Stderr = &fault
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, fault.String())
	}
	text := noise.ReplaceAllString(string(out), "")
	return regexp.MustCompile(`\n{2,}`).ReplaceAllString(text, "\n\n")
}
