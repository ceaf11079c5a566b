package db

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

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
// others wait. It fails with fault.Conflict when the database is newer than
// files, so that an old binary never writes to a schema it does not know.
func Migrate(ctx context.Context, pool *pgxpool.Pool, files fs.FS) (int, error) {
	p, done, err := provider(pool, files)
	if err != nil {
		return 0, err
	}
	defer done()
	if err := notNewer(ctx, p); err != nil {
		return 0, err
	}
	applied, err := p.Up(ctx)
	if err != nil {
		return len(applied), fmt.Errorf("apply migrations: %w", err)
	}
	return len(applied), nil
}

// Migrations lists the migrations in files with their state, oldest first.
func Migrations(ctx context.Context, pool *pgxpool.Pool, files fs.FS) ([]Migration, error) {
	p, done, err := provider(pool, files)
	if err != nil {
		return nil, err
	}
	defer done()
	status, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the schema version: %w", err)
	}
	list := make([]Migration, len(status))
	for i, s := range status {
		list[i] = Migration{Version: s.Source.Version, Name: s.Source.Path, AppliedAt: s.AppliedAt}
	}
	return list, nil
}

func provider(pool *pgxpool.Pool, files fs.FS) (*goose.Provider, func(), error) {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, nil, fmt.Errorf("make the migration lock: %w", err)
	}
	conn := stdlib.OpenDBFromPool(pool)
	p, err := goose.NewProvider(goose.DialectPostgres, conn, files, goose.WithSessionLocker(locker), goose.WithVerbose(false))
	if err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, func() { _ = conn.Close() }, nil
}

// notNewer refuses a database that a newer binary has migrated.
func notNewer(ctx context.Context, p *goose.Provider) error {
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fault.Newf(fault.Conflict, "The database has schema version %d, this binary knows %d: a newer inventiv has used it.", have, newest).
			WithFix("Run the newer binary, or restore a backup made before the upgrade.").WithKind("database_newer")
	}
	return nil
}
