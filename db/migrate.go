package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Migration is one change of the schema and when it was applied.
type Migration struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero: not yet
}

// Migrate brings the database up to the migrations in files and returns how
// many it applied. Several processes may call it at once: one applies, the
// others wait. Each migration is applied whole or not at all. It fails with
// fault.Conflict when the database is newer than files, so that an old binary
// never writes to a schema it does not know.
func Migrate(ctx context.Context, pool *pgxpool.Pool, files fs.FS) (int, error) {
	conn := stdlib.OpenDBFromPool(pool)
	defer conn.Close() // the pool stays open
	p, err := goose.NewProvider(goose.DialectPostgres, conn, files,
		goose.WithSessionLocker(locker{}), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, fmt.Errorf("read the migrations: %w", err)
	}
	if err := notNewer(ctx, pool, p); err != nil {
		return 0, err
	}
	applied, err := p.Up(ctx)
	if err != nil {
		return len(applied), fmt.Errorf("apply migrations: %w", err)
	}
	// A newer binary may have had the lock while this one waited for it.
	return len(applied), notNewer(ctx, pool, p)
}

// Migrations lists the migrations in files with their state, oldest first. It
// changes nothing.
func Migrations(ctx context.Context, pool *pgxpool.Pool, files fs.FS) ([]Migration, error) {
	conn := stdlib.OpenDBFromPool(pool)
	defer conn.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, conn, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	applied, err := appliedAt(ctx, pool)
	if err != nil {
		return nil, err
	}
	var list []Migration
	for _, s := range p.ListSources() {
		list = append(list, Migration{Version: s.Version, Name: s.Path, AppliedAt: applied[s.Version]})
	}
	return list, nil
}

// notNewer refuses a database that a newer binary has migrated.
func notNewer(ctx context.Context, pool *pgxpool.Pool, p *goose.Provider) error {
	applied, err := appliedAt(ctx, pool)
	if err != nil {
		return err
	}
	var have int64
	for version := range applied {
		have = max(have, version)
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fault.Newf(fault.Conflict, "The database has schema version %d, this binary knows %d: a newer inventiv has used it.", have, newest).
			WithFix("Run the newer binary, or restore a backup made before the upgrade.").WithKind("database_newer")
	}
	return nil
}

// appliedAt reads when each version was applied from goose's own table. goose
// would create the table to answer, before it takes the lock.
func appliedAt(ctx context.Context, pool *pgxpool.Pool) (map[int64]time.Time, error) {
	applied := make(map[int64]time.Time)
	var exists bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, goose.DefaultTablename).Scan(&exists); err != nil || !exists {
		return applied, err
	}
	rows, err := pool.Query(ctx, `SELECT version_id, tstamp::timestamptz FROM goose_db_version WHERE is_applied`)
	if err != nil {
		return nil, fmt.Errorf("read the schema version: %w", err)
	}
	var version int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		applied[version] = at
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the schema version: %w", err)
	}
	return applied, nil
}

// locker keeps migrating processes apart with an advisory lock. goose's own
// looks again every second at best, which is what a second replica would wait
// at its start. It asks again instead of waiting inside the server, because a
// waiting statement holds a snapshot, for which CREATE INDEX CONCURRENTLY waits
// in turn.
type locker struct{}

const (
	lockID       = 0x696e7669 // "invi"
	askAgain     = 50 * time.Millisecond
	takeLimits   = `SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0`
	returnLimits = `RESET statement_timeout; RESET idle_in_transaction_session_timeout`
)

// SessionLock waits until this session alone migrates, and takes the time
// limits from it: changing a big table may take longer than any query of ours.
func (locker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, takeLimits); err != nil {
		return fmt.Errorf("prepare to migrate: %w", err)
	}
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		var locked bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lockID).Scan(&locked); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if locked {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for another process to migrate: %w", ctx.Err())
		}
	}
}

// SessionUnlock lets the next process migrate and gives the session its limits
// back.
func (locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, lockID)
	_, limits := conn.ExecContext(ctx, returnLimits)
	return errors.Join(err, limits)
}
