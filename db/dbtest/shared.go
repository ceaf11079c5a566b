package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/cluster"
	"github.com/inventiv-it-for-ai/inventiv/migrations"
)

// speed is what a server may be configured with when its data may be lost, and
// an odd time zone, so that nobody relies on the server's.
var speed = []string{
	"fsync=off", "synchronous_commit=off", "full_page_writes=off", "jit=off", "autovacuum=off",
	"max_connections=300", "timezone=Canada/Newfoundland",
}

// shared is the server that all test binaries of a user share, as one of them
// sees it.
type shared struct {
	base     string        // URL of its maintenance database
	template string        // database to clone, named by the hash of the migrations
	admin    *pgxpool.Pool // makes and drops databases

	mu   sync.Mutex
	lock *pgx.Conn       // holds advisory locks for as long as this test binary lives
	held map[string]bool // databases for Tx that this test binary holds
	free []*scratch      // those of them that nobody uses
}

// scratch is a database in which everything is rolled back. It survives the
// test binary and serves the next.
type scratch struct{ conn *pgx.Conn }

// prepare finds or starts the server and makes the template.
func prepare(ctx context.Context) (*shared, error) {
	s := &shared{base: os.Getenv("INVENTIV_TEST_DSN"), held: make(map[string]bool)}
	if s.base == "" {
		c, err := cluster.Start(ctx, cluster.Config{
			Dir:   filepath.Join(memory(), "inventiv-test-"+strconv.Itoa(os.Geteuid())+"-"+hash(speed...)[:8]),
			Extra: speed, Leave: true, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return nil, fmt.Errorf("start one: %w", err)
		}
		s.base = c.URL()
	}
	content, err := contents(migrations.FS)
	if err != nil {
		return nil, err
	}
	s.template = "tpl_" + hash(content...)
	if s.admin, err = db.Open(ctx, s.base, db.Options{Name: "dbtest", MaxConns: 4}); err != nil {
		return nil, fmt.Errorf("connect to it: %w", err)
	}
	if s.lock, err = pgx.Connect(ctx, s.base); err != nil {
		return nil, fmt.Errorf("connect to it: %w", err)
	}
	return s, s.makeTemplate(ctx)
}

// makeTemplate makes the template when it is not there and drops what nobody
// needs any more. One test binary at a time does this; each says by a shared
// lock which template it uses until it ends.
func (s *shared) makeTemplate(ctx context.Context) error {
	if _, err := s.lock.Exec(ctx, `SELECT pg_advisory_lock($1)`, key("dbtest")); err != nil {
		return fmt.Errorf("wait for other test binaries: %w", err)
	}
	defer s.lock.Exec(ctx, `SELECT pg_advisory_unlock($1)`, key("dbtest")) //nolint:errcheck // it ends with the session too
	if _, err := s.lock.Exec(ctx, `SELECT pg_advisory_lock_shared($1)`, key(s.template)); err != nil {
		return fmt.Errorf("announce the template: %w", err)
	}
	names, err := s.databases(ctx)
	if err != nil || slices.Contains(names, s.template) {
		return err
	}
	fresh := s.template + "_new" // gets its name when it is whole
	if err := s.drop(ctx, fresh); err != nil {
		return err
	}
	if err := s.clone(ctx, fresh, "template1"); err != nil {
		return err
	}
	pool, err := db.Open(ctx, withDatabase(s.base, fresh), db.Options{MaxConns: 2})
	if err != nil {
		return fmt.Errorf("open the template: %w", err)
	}
	_, err = db.Migrate(ctx, pool, migrations.FS)
	pool.Close()
	if err != nil {
		return fmt.Errorf("fill the template: %w", err)
	}
	if _, err := s.admin.Exec(ctx, "ALTER DATABASE "+fresh+" RENAME TO "+s.template); err != nil {
		return fmt.Errorf("name the template: %w", err)
	}
	return nil
}

// ours matches the databases this package makes: of a test, with the time it
// was made, or of a template, with the hash of the migrations.
var ours = regexp.MustCompile(`^t_(\d+)_[0-9a-f]{8}$|^(?:tpl|tx)_([0-9a-f]{16})(?:_new|_\d+)?$`)

// databases lists our databases, having dropped those that killed tests left
// more than an hour ago and those of templates that no test binary uses.
func (s *shared) databases(ctx context.Context) ([]string, error) {
	rows, err := s.admin.Query(ctx, `SELECT datname FROM pg_database`)
	if err != nil {
		return nil, fmt.Errorf("list the databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the databases: %w", err)
	}
	var kept []string
	for _, name := range names {
		needed, err := s.needed(ctx, name)
		switch {
		case err != nil:
			return nil, err
		case needed:
			kept = append(kept, name)
		default:
			if err := s.drop(ctx, name); err != nil {
				return nil, err
			}
		}
	}
	return kept, nil
}

// needed reports whether somebody may still want the database.
func (s *shared) needed(ctx context.Context, name string) (bool, error) {
	m := ours.FindStringSubmatch(name)
	switch {
	case m == nil:
		return true, nil // not ours to judge
	case m[1] != "":
		made, err := strconv.ParseInt(m[1], 10, 64)
		return err == nil && time.Since(time.Unix(made, 0)) < time.Hour, nil
	case "tpl_"+m[2] == s.template:
		return true, nil
	}
	var idle bool
	err := s.lock.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, key("tpl_"+m[2])).Scan(&idle)
	if err == nil && idle {
		_, err = s.lock.Exec(ctx, `SELECT pg_advisory_unlock($1)`, key("tpl_"+m[2]))
	}
	if err != nil {
		return false, fmt.Errorf("ask who uses %s: %w", name, err)
	}
	return !idle, nil
}

func (s *shared) drop(ctx context.Context, name string) error {
	if _, err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop the database %s: %w", name, err)
	}
	return nil
}

// clone copies a template file by file, which without fsync takes half as long
// as writing it through the log.
func (s *shared) clone(ctx context.Context, name, template string) error {
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template+" STRATEGY file_copy"); err != nil {
		return fmt.Errorf("clone the database %s: %w", template, err)
	}
	return nil
}

// take returns a scratch database that is this test's alone until it is given
// back: two transactions in one database would wait for each other's keys.
func (s *shared) take(ctx context.Context) (*scratch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.free) - 1; last >= 0 {
		c := s.free[last]
		s.free = s.free[:last]
		return c, nil
	}
	for n := 0; ; n++ {
		name := strings.Replace(s.template, "tpl_", "tx_", 1) + "_" + strconv.Itoa(n)
		if s.held[name] {
			continue // the lock would be ours a second time
		}
		var mine, exists bool
		err := s.lock.QueryRow(ctx, `SELECT pg_try_advisory_lock($1), EXISTS (SELECT FROM pg_database WHERE datname = $2)`,
			key(name), name).Scan(&mine, &exists)
		if err != nil {
			return nil, fmt.Errorf("look for a free database: %w", err)
		}
		if !mine {
			continue
		}
		s.held[name] = true
		if !exists {
			if err := s.clone(ctx, name, s.template); err != nil {
				return nil, err
			}
		}
		conn, err := pgx.Connect(ctx, withDatabase(s.base, name))
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		return &scratch{conn: conn}, nil
	}
}

// giveBack lets the next test have c, unless its connection was lost: then it
// stays locked, and unused, until this test binary ends.
func (s *shared) giveBack(c *scratch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.conn.IsClosed() {
		s.free = append(s.free, c)
	}
}

// contents returns the names and texts of all migrations, in order.
func contents(files fs.FS) ([]string, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	var all []string
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read the migrations: %w", err)
		}
		all = append(all, name, string(text))
	}
	return all, nil
}

// hash returns 16 hexadecimal digits that stand for the parts.
func hash(parts ...string) string {
	sum := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(sum, "%d %s\n", len(p), p)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// key returns the number of the advisory lock with that name.
func key(name string) int64 {
	sum := sha256.Sum256([]byte(name))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// memory returns a folder in memory when the system has one with a gigabyte to
// spare (a container's usually has 64 MiB), else the folder for temporary files.
func memory() string {
	const shm = "/dev/shm"
	var st syscall.Statfs_t
	if err := syscall.Statfs(shm, &st); err == nil && st.Bavail*uint64(st.Bsize) > 1<<30 {
		return shm
	}
	return os.TempDir()
}
