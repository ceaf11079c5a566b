package app

import (
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/cli"
	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func TestCheckDatabase_table(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.URL(t), t.TempDir()
	pool, err := db.Open(t.Context(), url, db.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	look := func(url, ring string) cli.Finding {
		return checkDatabase(t.Context(), config.Serve{Store: config.Store{Data: config.Data{DataDir: dir}, DatabaseURL: config.DatabaseURL(url), MasterKeyFile: ring}})
	}
	present := dir + "/master.key"
	ring, err := keyring.Create(present)
	if err != nil {
		t.Fatal(err)
	}
	if f := look(url, dir+"/none"); f.Health != cli.Good {
		t.Errorf("a database without secrets: %+v", f)
	}
	if err := auth.CheckKeyring(t.Context(), pool, ring); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		url, ring string
		want      cli.Health
		says      string
	}{
		"all well":      {url, present, cli.Good, "up to date"},
		"ring lost":     {url, dir + "/none", cli.Bad, "none"},
		"nobody there":  {"postgres://x:hidden@127.0.0.1:1/x?sslmode=disable", present, cli.Bad, "127.0.0.1"},
		"not a URL":     {"postgres://[", present, cli.Bad, "cannot be read"},
		"embedded, off": {"", present, cli.Warn, "does not run"},
	} {
		f := look(c.url, c.ring)
		if f.Health != c.want || !strings.Contains(f.Text, c.says) || f.Health != cli.Good && f.Fix == "" || strings.Contains(f.Text+f.Fix, "hidden") {
			t.Errorf("%s: %+v; want %s with %q", name, f, c.want, c.says)
		}
	}
	if _, err := pool.Exec(t.Context(), `DELETE FROM goose_db_version WHERE version_id = 5`); err != nil {
		t.Fatal(err)
	}
	if f := look(url, present); f.Health != cli.Warn || !strings.Contains(f.Fix, "migrate up") {
		t.Errorf("a migration missing: %+v", f)
	}
	var said strings.Builder
	env := []string{"HOME=" + dir, "INVENTIV_DATABASE_URL=" + url, "INVENTIV_DATA_DIR=" + dir}
	if exit := Main("test", []string{"admin", "setup-url"}, env, &said, &said); exit != 1 || !strings.Contains(said.String(), "migrate up") {
		t.Errorf("a link from a database that lacks a migration: exit %d, %s", exit, &said)
	}
}
