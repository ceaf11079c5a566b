package db_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/migrations"
)

func TestB44_openRefusesWithASentence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, url string
		code      fault.Code
	}{
		{"nonsense", "not a url", fault.Invalid},
		{"remote without sslmode", "postgres://u:hunter2@db.example.com/x", fault.Invalid},
		{"nobody there", "postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable", fault.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := db.Open(t.Context(), c.url, db.Options{ConnectWait: 2 * time.Second})
			if !fault.Is(err, c.code) {
				t.Fatalf("err = %v, want %s", err, c.code)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
			if fault.As(err).Fix == "" {
				t.Error("the fault does not say what to do")
			}
		})
	}
}

func TestInTx_rollsBackOnError(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	boom := errors.New("boom")
	insert := func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO auth.throttles (key) VALUES ('k')`)
		return err
	}
	err := db.InTx(t.Context(), pool, func(tx pgx.Tx) error { return errors.Join(insert(tx), boom) })
	if !errors.Is(err, boom) {
		t.Fatalf("err = %v, want boom", err)
	}
	if err := db.InTx(t.Context(), pool, insert); err != nil {
		t.Fatalf("insert after the rollback: %v", err)
	}
	if err := db.InTx(t.Context(), pool, insert); !db.IsUnique(err, "throttles_pkey") {
		t.Errorf("second insert = %v, want a unique violation", err)
	}
}

func TestMigrate_twiceAtOnce(t *testing.T) {
	t.Parallel()
	url := dbtest.NewServer(t).URL()
	reset, err := db.Open(t.Context(), url, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reset.Close()
	if _, err := reset.Exec(t.Context(), `DROP SCHEMA auth, catalog, instance, gateway, finops CASCADE; DROP TABLE goose_db_version`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	applied := make([]int, 3)
	for i := range applied {
		wg.Go(func() {
			pool, err := db.Open(t.Context(), url, db.Options{MaxConns: 2})
			if err != nil {
				t.Error(err)
				return
			}
			defer pool.Close()
			if applied[i], err = db.Migrate(t.Context(), pool, migrations.FS); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	wg.Wait()
	list, err := db.Migrations(t.Context(), reset, migrations.FS)
	if err != nil {
		t.Fatal(err)
	}
	if sum := applied[0] + applied[1] + applied[2]; sum != len(list) {
		t.Errorf("applied %v, want %d in all", applied, len(list))
	}
	for _, m := range list {
		if m.AppliedAt.IsZero() {
			t.Errorf("%s is not applied", m.Name)
		}
	}
}

func TestMigrate_refusesANewerDatabase(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	older := fstest.MapFS{}
	for _, name := range names[:len(names)-1] {
		text, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		older[name] = &fstest.MapFile{Data: text}
	}
	if _, err := db.Migrate(t.Context(), pool, older); !fault.Is(err, fault.Conflict) {
		t.Errorf("err = %v, want a conflict", err)
	}
}

func TestListener_notifiesAndComesBack(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	connected, got := make(chan struct{}, 10), make(chan string, 10)
	l := &db.Listener{
		URL: server.URL(), Channel: "inventiv", Log: slog.New(slog.DiscardHandler),
		Notify: func(p string) { got <- p }, Connected: func() { connected <- struct{}{} },
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	defer func() { stop(); <-done }()

	<-connected
	notify(t, server.URL(), "first")
	if p := <-got; p != "first" {
		t.Fatalf("payload = %q, want first", p)
	}
	server.Stop()
	server.Start()
	<-connected
	notify(t, server.URL(), "second")
	if p := <-got; p != "second" {
		t.Errorf("payload = %q, want second", p)
	}
}

func notify(t *testing.T, url, payload string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `SELECT pg_notify('inventiv', $1)`, payload); err != nil {
		t.Fatal(err)
	}
}
