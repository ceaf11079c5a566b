package db_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func TestIsLost_tellsALostConnectionFromEverythingElse(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := pool.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, conn.Conn().PgConn().PID()); err != nil {
		t.Fatal(err)
	}
	_, ended := conn.Exec(t.Context(), `SELECT 1`)
	_, closed := conn.Exec(t.Context(), `SELECT 1`)
	_, nobody := db.Open(t.Context(), "postgres://inventiv@127.0.0.1:1/inventiv?sslmode=disable", db.Options{})
	for what, err := range map[string]error{"ended by the server": ended, "closed since": fmt.Errorf("wrapped: %w", closed), "nobody listens": nobody} {
		if !db.IsLost(err) {
			t.Errorf("%s: %v is not lost", what, err)
		}
	}
	_, wrong := pool.Exec(t.Context(), `SELECT nothing`)
	late, cancel := context.WithCancel(t.Context())
	cancel()
	_, left := pool.Exec(late, `SELECT 1`)
	for what, err := range map[string]error{"none": nil, "a mistake": wrong, "the caller has left": left, "something else": errors.New("else")} {
		if db.IsLost(err) {
			t.Errorf("%s: %v is lost", what, err)
		}
	}
}
