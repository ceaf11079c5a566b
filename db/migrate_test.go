package db_test

import (
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// steps returns a schema of n migrations.
func steps(n int) fs.FS {
	files := fstest.MapFS{}
	for i, sql := range []string{
		// Long enough for the others to find the lock taken, and more than the
		// time a query of ours may take in this test.
		"SELECT pg_sleep(0.3); CREATE TABLE one (id int);",
		"CREATE TABLE two (id int);",
		"CREATE TABLE three (id int); SELECT 1/0;",
	}[:n] {
		name := []string{"00001_one.sql", "00002_two.sql", "00003_three.sql"}[i]
		files[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql + "\n")}
	}
	return files
}

func open(t *testing.T, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(t.Context(), url, db.Options{MaxConns: conns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func value[T any](t *testing.T, pool *pgxpool.Pool, sql string) T {
	t.Helper()
	var v T
	if err := pool.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestMigrate_manyAtOnce(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t)
	var wg sync.WaitGroup
	applied := make([]int, 4)
	for i := range applied {
		wg.Go(func() {
			var err error
			if applied[i], err = db.Migrate(t.Context(), open(t, url, 2), steps(2)); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range applied {
		sum += n
	}
	if sum != 2 {
		t.Errorf("applied %v, want 2 in all", applied)
	}
}

func TestMigrate_mayTakeLongerThanAQuery(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t)+"&statement_timeout=100", 1) // one connection must do
	if _, err := db.Migrate(t.Context(), pool, steps(2)); err != nil {
		t.Fatal(err)
	}
	if got := value[string](t, pool, `SHOW statement_timeout`); got != "100ms" {
		t.Errorf("afterwards the limit is %s, want 100ms", got)
	}
}

func TestMigrate_aFailedStepLeavesNothing(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t), 2)
	if n, err := db.Migrate(t.Context(), pool, steps(3)); err == nil {
		t.Fatalf("Migrate = %d, nil; want the error of the third step", n)
	}
	if value[bool](t, pool, `SELECT to_regclass('three') IS NOT NULL`) {
		t.Error("half of the third step is there")
	}
	list, err := db.Migrations(t.Context(), pool, steps(3))
	if err != nil {
		t.Fatal(err)
	}
	if list[1].AppliedAt.IsZero() || !list[2].AppliedAt.IsZero() {
		t.Errorf("applied: %v and %v, want the second step only", list[1].AppliedAt, list[2].AppliedAt)
	}
	if age := time.Since(list[1].AppliedAt).Abs(); age > time.Minute {
		t.Errorf("the second step was applied %s ago, want just now", age)
	}
}

func TestMigrations_changesNothing(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t), 2)
	list, err := db.Migrations(t.Context(), pool, steps(2))
	if err != nil || len(list) != 2 || list[0].Name != "00001_one.sql" || !list[0].AppliedAt.IsZero() {
		t.Errorf("Migrations = %v, %v", list, err)
	}
	if n := value[int](t, pool, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); n != 0 {
		t.Errorf("it made %d tables", n)
	}
}

func TestMigrate_refusesANewerDatabase(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.Empty(t), 2)
	if _, err := db.Migrate(t.Context(), pool, steps(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Migrate(t.Context(), pool, steps(1)); !fault.Is(err, fault.Conflict) {
		t.Errorf("err = %v, want a conflict", err)
	}
}
