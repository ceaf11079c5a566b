// Package dbtest gives each test a PostgreSQL database of its own in a few
// milliseconds: a clone of a template that has all migrations applied.
//
// One server per user is shared by every test binary and left running for the
// next run; it trades durability for speed. INVENTIV_TEST_DSN names another
// server instead. Without either the tests fail: they never skip.
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/db"
)

// New returns a pool of four connections to a database of the test's own. Its
// connection string is pool.Config().ConnString().
func New(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return open(tb, URL(tb))
}

// URL makes a database of the test's own and returns its connection string.
func URL(tb testing.TB) string {
	tb.Helper()
	s := server(tb)
	return create(tb, s, s.template)
}

// Empty makes a database without any migration applied and returns its
// connection string.
func Empty(tb testing.TB) string {
	tb.Helper()
	return create(tb, server(tb), "template1")
}

// Tx returns a transaction that nobody else can see or wait for; it is rolled
// back at the end of the test. It suits queries and constraints; anything that
// commits, notifies or needs two connections wants New.
func Tx(tb testing.TB) pgx.Tx {
	tb.Helper()
	s := server(tb)
	ctx := context.WithoutCancel(tb.Context())
	c, err := s.take(ctx)
	if err != nil {
		tb.Fatalf("a database for the transaction: %v", err)
	}
	tx, err := c.conn.Begin(ctx)
	if err != nil {
		tb.Fatalf("begin: %v", err)
	}
	tb.Cleanup(func() {
		if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			tb.Errorf("roll back: %v", err)
		}
		s.giveBack(c)
	})
	return noCommit{Tx: tx, tb: tb}
}

// noCommit keeps a test from leaving something to the next one.
type noCommit struct {
	pgx.Tx

	tb testing.TB
}

// Commit fails the test.
func (n noCommit) Commit(ctx context.Context) error {
	n.tb.Errorf("the transaction of dbtest.Tx was committed; use dbtest.New")
	return n.Rollback(ctx)
}

func open(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	pool, err := db.Open(tb.Context(), url, db.Options{Name: "test", MaxConns: 4, ConnectWait: 30 * time.Second})
	if err != nil {
		tb.Fatalf("open the test database: %v", err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// create makes a database from a template and drops it after the test.
func create(tb testing.TB, s *shared, template string) string {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	name := fmt.Sprintf("t_%d_%s", time.Now().Unix(), uuid.NewString()[:8])
	if err := s.clone(ctx, name, template); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if _, err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			tb.Logf("drop the test database: %v", err)
		}
	})
	return withDatabase(s.base, name)
}

// server returns the server of this test binary, or fails the test.
func server(tb testing.TB) *shared {
	tb.Helper()
	s, err := theServer()
	if err != nil {
		tb.Fatalf("a PostgreSQL for the tests: %v", err)
	}
	return s
}

// theServer does its work for the first test that asks.
var theServer = sync.OnceValues(func() (*shared, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return prepare(ctx)
})

// withDatabase returns base with another database name.
func withDatabase(base, name string) string {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // base was parsed before
	}
	u.Path = "/" + name
	return u.String()
}
