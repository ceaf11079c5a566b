// Package dbtest gives each test a PostgreSQL database of its own in a few
// milliseconds: a clone of a template that has all migrations applied.
//
// One server per user is shared by every test binary and left running for the
// next run; it trades durability for speed. INVENTIV_TEST_DSN names another
// server instead. Without either the tests fail: they never skip.
package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/cluster"
	"github.com/inventiv-it-for-ai/inventiv/migrations"
)

// speed is what a server may be configured with when its data may be lost.
var speed = []string{ //nolint:gochecknoglobals // constant
	"fsync=off", "synchronous_commit=off", "full_page_writes=off", "jit=off", "autovacuum=off",
	"max_connections=300", "timezone=Canada/Newfoundland",
}

// New returns a pool of four connections to a database of the test's own.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return open(t, URL(t))
}

// URL makes a database of the test's own and returns its connection string.
func URL(t testing.TB) string {
	t.Helper()
	base, err := shared()
	if err != nil {
		t.Fatalf("a PostgreSQL for the tests: %v", err)
	}
	return clone(t, base)
}

// Tx returns a transaction on a database of the test binary; it is rolled back
// at the end of the test. It suits queries and constraints; anything that
// commits, notifies or locks across connections wants New.
func Tx(t testing.TB) pgx.Tx {
	t.Helper()
	base, err := scratch()
	if err != nil {
		t.Fatalf("a PostgreSQL for the tests: %v", err)
	}
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	t.Cleanup(func() {
		_ = tx.Rollback(ctx)
		_ = conn.Close(ctx)
	})
	return tx
}

func open(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(t.Context(), url, db.Options{MaxConns: 4, ConnectWait: 30 * time.Second})
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// clone makes a database from the template and drops it after the test.
func clone(t testing.TB, base string) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	name := fmt.Sprintf("t_%d_%s", time.Now().Unix(), uuid.NewString()[:8])
	if err := exec(ctx, base, "CREATE DATABASE "+name+" TEMPLATE "+template()+" STRATEGY file_copy"); err != nil {
		t.Fatalf("clone the template: %v", err)
	}
	t.Cleanup(func() {
		if err := exec(ctx, base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Logf("drop the test database: %v", err)
		}
	})
	return rename(base, name)
}

func exec(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err //nolint:wrapcheck // the caller says what it did
}

// rename returns base with another database name.
func rename(base, name string) string {
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // base was parsed by pgx before
	}
	u.Path = "/" + name
	return u.String()
}

// template names the template after its content.
func template() string {
	sum := sha256.New()
	names, _ := fs.Glob(migrations.FS, "*.sql") // sorted
	for _, name := range names {
		text, _ := migrations.FS.ReadFile(name) // embedded
		fmt.Fprintf(sum, "%s\n%s\n", name, text)
	}
	return "tpl_" + hex.EncodeToString(sum.Sum(nil)[:8])
}

// shared returns the URL of the server's maintenance database, with the
// template made. It does its work once per test binary.
var shared = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // one server per process
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) //nolint:forbidigo // outlives the test that asks first
	defer cancel()
	base := os.Getenv("INVENTIV_TEST_DSN")
	if base == "" {
		c, err := cluster.Start(ctx, cluster.Config{
			Dir: filepath.Join(memory(), "inventiv-test-"+strconv.Itoa(os.Geteuid())), Extra: speed, Leave: true,
			Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return "", fmt.Errorf("start one: %w", err)
		}
		base = c.URL()
	}
	return base, prepare(ctx, base)
})

// scratch is the database whose transactions are always rolled back.
var scratch = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // one per process
	base, err := shared()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("t_%d_%s", time.Now().Unix(), uuid.NewString()[:8])
	ctx := context.Background() //nolint:forbidigo // outlives the test that asks first
	if err := exec(ctx, base, "CREATE DATABASE "+name+" TEMPLATE "+template()+" STRATEGY file_copy"); err != nil {
		return "", fmt.Errorf("clone the template: %w", err)
	}
	return rename(base, name), nil
})

// memory returns a folder in memory when the system has one.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// prepare makes the template when it is not there and drops what tests that
// were killed have left. An advisory lock keeps parallel test binaries apart;
// the template gets its name only when it is whole.
func prepare(ctx context.Context, base string) error {
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	const lockID = 0x696e76656e746976 // "inventiv"
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(lockID)); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	name := template()
	if err := dropOld(ctx, conn, name); err != nil {
		return err
	}
	var found bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&found); err != nil || found {
		return err //nolint:wrapcheck // one look-up
	}
	fresh := name + "_new"
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + fresh + " WITH (FORCE)", "CREATE DATABASE " + fresh} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the template: %w", err)
		}
	}
	pool, err := db.Open(ctx, rename(base, fresh), db.Options{MaxConns: 2})
	if err != nil {
		return fmt.Errorf("open the template: %w", err)
	}
	_, err = db.Migrate(ctx, pool, migrations.FS)
	pool.Close()
	if err != nil {
		return fmt.Errorf("fill the template: %w", err)
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+fresh+" RENAME TO "+name); err != nil {
		return fmt.Errorf("name the template: %w", err)
	}
	return nil
}

// dropOld drops templates of other migrations and test databases older than an hour.
func dropOld(ctx context.Context, conn *pgx.Conn, keep string) error {
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datname LIKE 't\_%' OR datname LIKE 'tpl\_%'`)
	if err != nil {
		return fmt.Errorf("list test databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list test databases: %w", err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "t_") {
			at, err := strconv.ParseInt(strings.Split(name, "_")[1], 10, 64)
			if err == nil && time.Since(time.Unix(at, 0)) < time.Hour {
				continue
			}
		} else if name == keep {
			continue
		}
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop %s: %w", name, err)
		}
	}
	return nil
}
