package dbtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func TestNew_eachTestHasItsOwn(t *testing.T) {
	t.Parallel()
	one, two := dbtest.New(t), dbtest.New(t)
	if _, err := one.Exec(t.Context(), `CREATE TABLE mine (id int)`); err != nil {
		t.Fatal(err)
	}
	var seen bool
	if err := two.QueryRow(t.Context(), `SELECT to_regclass('mine') IS NOT NULL`).Scan(&seen); err != nil || seen {
		t.Errorf("the other database has the table: %v, %v", seen, err)
	}
	var migrated bool
	if err := two.QueryRow(t.Context(), `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&migrated); err != nil || !migrated {
		t.Errorf("migrated = %v, %v", migrated, err)
	}
}

func TestEmpty_hasNoSchema(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), dbtest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var migrated bool
	if err := conn.QueryRow(t.Context(), `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&migrated); err != nil || migrated {
		t.Errorf("migrated = %v, %v", migrated, err)
	}
}

// Two transactions that insert the same key would wait for each other if they
// shared a database; here both go on.
func TestTx_isAlone(t *testing.T) {
	t.Parallel()
	one, two := dbtest.Tx(t), dbtest.Tx(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, tx := range []pgx.Tx{one, two} {
		if _, err := tx.Exec(ctx, `INSERT INTO public.goose_db_version (id, version_id, is_applied) OVERRIDING SYSTEM VALUE VALUES (-1, 1, false)`); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTx_leavesNothing(t *testing.T) { //nolint:tparallel // one after the other is the point
	t.Parallel()
	for range 3 {
		t.Run("again", func(t *testing.T) {
			if _, err := dbtest.Tx(t).Exec(t.Context(), `CREATE TABLE once (id int)`); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTx_refusesToCommit(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	if err := dbtest.Tx(r).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.failed {
		t.Error("the commit went unnoticed")
	}
}

// recorder notes a failure instead of failing the test.
type recorder struct {
	testing.TB

	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestServer_isStoppedFrozenAndKilled(t *testing.T) {
	t.Parallel()
	s := dbtest.NewServer(t)
	ask := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, err := pgx.Connect(ctx, s.URL())
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		return conn.Ping(ctx)
	}
	if err := ask(10 * time.Second); err != nil {
		t.Fatalf("at first: %v", err)
	}
	s.Freeze()
	if err := ask(200 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("frozen: %v, want silence", err)
	}
	s.Thaw()
	if err := ask(10 * time.Second); err != nil {
		t.Errorf("thawed: %v", err)
	}
	s.Stop()
	if err := ask(10 * time.Second); err == nil {
		t.Error("stopped, and it still answers")
	}
	s.Start()
	if err := ask(10 * time.Second); err != nil {
		t.Errorf("started again: %v", err)
	}
	s.Crash()
	for deadline := time.Now().Add(20 * time.Second); ask(time.Second) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("it did not come back after the crash")
		}
	}
}
