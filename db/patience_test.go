package db_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// A frozen server keeps its connections open and answers nothing: neither a
// statement nor the wait for a connection may take longer than the patience.
func TestWithPatience_F26_aFrozenServerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	server := dbtest.NewServer(t)
	pool, err := db.Open(t.Context(), server.URL(), db.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	busy, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Release()
	server.Freeze()
	for what, ask := range map[string]func(ctx context.Context) error{
		"a statement":   func(ctx context.Context) error { _, err := busy.Exec(ctx, `SELECT 1`); return err },
		"a connection":  func(ctx context.Context) error { return pool.QueryRow(ctx, `SELECT 1`).Scan(new(int)) },
		"a transaction": func(ctx context.Context) error { return db.InTx(ctx, pool, func(pgx.Tx) error { return nil }) },
	} {
		ctx := db.WithPatience(t.Context(), limit)
		if db.PatienceEnded(ctx, context.DeadlineExceeded) {
			t.Errorf("%s: it ended before it was asked for", what)
		}
		asked := time.Now()
		err := ask(ctx)
		if took := time.Since(asked); took < limit || took > limit+5*time.Second {
			t.Errorf("%s was waited for %s", what, took)
		}
		if !db.PatienceEnded(ctx, err) {
			t.Errorf("%s: %v does not say that the patience ended", what, err)
		}
	}
	server.Thaw()
	if err := pool.QueryRow(db.WithPatience(t.Context(), 20*time.Second), `SELECT 1`).Scan(new(int)); err != nil {
		t.Errorf("thawed: %v", err)
	}
}

// What else ends a wait is not the database's fault.
func TestPatienceEnded_ofNothingElse(t *testing.T) {
	t.Parallel()
	pool, err := db.Open(t.Context(), dbtest.URL(t), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx := db.WithPatience(t.Context(), time.Minute)
	rows, err := pool.Query(ctx, `SELECT generate_series(1, 1000)`)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || len(all) != 1000 {
		t.Errorf("%d rows, %v", len(all), err)
	}
	gone, leave := context.WithCancel(ctx)
	leave()
	_, left := pool.Exec(gone, `SELECT 1`)
	_, wrong := pool.Exec(ctx, `SELECT nothing`)
	for what, err := range map[string]error{
		"none": nil, "the caller has left": left, "a mistake": wrong, "another deadline": context.DeadlineExceeded, "something else": errors.New("else"),
	} {
		if db.PatienceEnded(ctx, err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := pool.Exec(t.Context(), `SELECT 1`); err != nil || db.PatienceEnded(t.Context(), context.DeadlineExceeded) {
		t.Errorf("without a patience: %v", err)
	}
}
