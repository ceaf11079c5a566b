package db_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func TestB44_openRefusesWithASentence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url  string
		code fault.Code
	}{
		"empty":                        {"", fault.Invalid},
		"nonsense":                     {"not a url", fault.Invalid},
		"another database":             {"mysql://u:hunter2@127.0.0.1/x", fault.Invalid},
		"a slash in the password":      {"postgres://u:/hunter2@127.0.0.1/x", fault.Invalid},
		"a percent in the password":    {"postgres://u:%hunter2@127.0.0.1/x", fault.Invalid},
		"sslmode of no kind":           {"postgres://u:hunter2@127.0.0.1/x?sslmode=maybe", fault.Invalid},
		"remote without sslmode":       {"postgres://u:hunter2@db.example.com/x", fault.Invalid},
		"sslmode only in a password":   {"postgres://u:hunter2sslmode@db.example.com/x", fault.Invalid},
		"remote as second host":        {"postgres://u:hunter2@127.0.0.1,db.example.com/x", fault.Invalid},
		"remote in the other form":     {"host=db.example.com password=hunter2 dbname=x", fault.Invalid},
		"nobody there":                 {"postgres://u:hunter2@127.0.0.1:1/x", fault.Unavailable},
		"no such socket":               {"postgres://u:hunter2@/x?host=/nowhere", fault.Unavailable},
		"no such name":                 {"postgres://u:hunter2@db.invalid/x?sslmode=require", fault.Unavailable},
		"a database that is not there": {withDatabase(t, dbtest.Empty(t), "hunter2"), fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := db.Open(t.Context(), c.url, db.Options{ConnectWait: 2 * time.Second})
			if !fault.Is(err, c.code) {
				t.Fatalf("err = %v, want %s", err, c.code)
			}
			if strings.Contains(err.Error(), "hunter2") && !strings.HasPrefix(name, "a database") {
				t.Errorf("the error shows the password: %v", err)
			}
			if fault.As(err).Fix == "" {
				t.Error("the fault does not say what to do")
			}
		})
	}
}

func withDatabase(t *testing.T, text, name string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// TestOpen_waitsForAServerThatIsStartingUp stands before a server. It refuses
// once, as one that does not listen yet, and then says twice what one says that
// recovers from a crash.
func TestOpen_waitsForAServerThatIsStartingUp(t *testing.T) {
	t.Parallel()
	cfg, err := pgx.ParseConfig(dbtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	var asked atomic.Int32
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = ln.Close() })
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer client.Close()
				switch n := asked.Add(1); {
				case n == 1:
					return
				case n <= 3:
					b := pgproto3.NewBackend(client, client)
					if _, err := b.ReceiveStartupMessage(); err != nil {
						return
					}
					b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "the database system is starting up"})
					_ = b.Flush()
					return
				}
				server, err := net.Dial("unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port))
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
				_, _ = io.Copy(client, server)
			})
		}
	})
	through := fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", cfg.User, ln.Addr(), cfg.Database)
	asked.Store(1)
	if _, err := db.Open(t.Context(), through, db.Options{}); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "starting up") {
		t.Errorf("without a wait: %v", err)
	}
	asked.Store(0)
	pool, err := db.Open(t.Context(), through, db.Options{StartWait: time.Minute, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if n := asked.Load(); n < 4 {
		t.Errorf("asked %d times", n)
	}
}

func TestOpen_setsWhatTheURLLeavesOpen(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t)
	for name, c := range map[string]struct{ url, setting, want string }{
		"its name":                 {url, "application_name", "doctor"},
		"a limit":                  {url, "statement_timeout", "30s"},
		"a limit of the URL":       {url + "&statement_timeout=7000", "statement_timeout", "7s"},
		"the same time for all":    {url, "timezone", "UTC"},
		"a lost client's patience": {url, "idle_in_transaction_session_timeout", "1min"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := db.Open(t.Context(), c.url, db.Options{Name: "doctor", MaxConns: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			var got string
			if err := pool.QueryRow(t.Context(), `SELECT current_setting($1)`, c.setting).Scan(&got); err != nil || got != c.want {
				t.Errorf("%s = %q, %v; want %q", c.setting, got, err, c.want)
			}
		})
	}
}

func TestReady_aFrozenServerIsNotReady(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	pool, err := db.Open(t.Context(), server.URL(), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := db.Ready(t.Context(), pool); err != nil {
		t.Errorf("at first: %v", err)
	}
	server.Freeze()
	if err := db.Ready(t.Context(), pool); !fault.Is(err, fault.Unavailable) {
		t.Errorf("frozen: %v, want unavailable", err)
	}
	server.Thaw()
	if err := db.Ready(t.Context(), pool); err != nil {
		t.Errorf("thawed: %v", err)
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
