package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/cluster"
	"github.com/inventiv-it-for-ai/inventiv/migrations"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// store is the data of a control plane: the database, ours or another's, and
// the ring that opens its secrets.
type store struct {
	url     string
	pool    *pgxpool.Pool
	ring    *keyring.Ring
	cluster *cluster.Cluster // nil when the database is not ours
}

// openDatabase connects to the database the settings name, or starts the
// embedded one.
func openDatabase(ctx context.Context, cfg config.Store, log *slog.Logger) (*store, error) {
	s := &store{url: cfg.DatabaseURL.Reveal()}
	if s.url == "" {
		if err := makeDataDir(cfg.DataDir); err != nil {
			return nil, err
		}
		c, err := cluster.Start(ctx, cluster.Config{Dir: filepath.Join(cfg.DataDir, "pg"), BinDir: cfg.PGBin, Log: log})
		if err != nil {
			return nil, fmt.Errorf("start the embedded database: %w", err)
		}
		s.cluster, s.url = c, c.URL()
	}
	pool, err := db.Open(ctx, s.url, db.Options{MaxConns: int32(cfg.DatabasePool), StartWait: cfg.DatabaseWait, Log: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), s.close(ctx))
	}
	s.pool = pool
	return s, nil
}

// openStore opens the database, brings it up to this binary, and opens its ring.
func openStore(ctx context.Context, cfg config.Store, log *slog.Logger) (*store, error) {
	if err := makeDataDir(cfg.DataDir); err != nil {
		return nil, err
	}
	s, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	n, err := db.Migrate(ctx, s.pool, migrations.FS)
	if err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	if n > 0 {
		log.InfoContext(ctx, "database migrated", "migrations", n)
	}
	if s.ring, err = openRing(ctx, s.pool, cfg.MasterKeyFile); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// openRing reads the key ring; it makes one only for a database that names none
// yet.
func openRing(ctx context.Context, pool *pgxpool.Pool, path string) (*keyring.Ring, error) {
	ring, err := keyring.Load(path)
	if fault.Is(err, fault.NotFound) {
		named, err2 := auth.KeyringNamed(ctx, pool)
		if err2 != nil {
			return nil, fmt.Errorf("look for the database's master key: %w", err2)
		}
		if named {
			return nil, fmt.Errorf("open the key ring: %w", err)
		}
		ring, err = keyring.Create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the key ring: %w", err)
	}
	if err := auth.CheckKeyring(ctx, pool, ring); err != nil {
		return nil, fmt.Errorf("check the key ring: %w", err)
	}
	return ring, nil
}

// missingMigration returns the name of the first migration of this binary that a
// database lacks, or "".
func missingMigration(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	list, err := db.Migrations(ctx, pool, migrations.FS)
	for _, m := range list {
		if m.AppliedAt.IsZero() {
			return m.Name, err //nolint:wrapcheck // a sentence for people
		}
	}
	return "", err //nolint:wrapcheck // a sentence for people
}

// close ends the pool and the embedded database, also when ctx has ended.
func (s *store) close(ctx context.Context) error {
	if s.pool != nil {
		s.pool.Close()
	}
	if s.cluster == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return s.cluster.Stop(ctx) //nolint:wrapcheck // says it all
}

// makeDataDir makes the data folder so that the embedded database's own user
// can pass through it.
func makeDataDir(dir string) error {
	err := os.MkdirAll(dir, 0o755) //nolint:gosec // what is secret in it has its own mode
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".writable-"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err == nil {
		return nil
	}
	return unwritable(dir, err)
}

func unwritable(dir string, cause error) error {
	return fault.Newf(fault.Invalid, "The data folder %s cannot be written.", dir).
		WithFix("Name another one with --data-dir, or give this user the right to write there.").WithField("DATA_DIR").WithCause(cause)
}

// embeddedURL is the connection string of the embedded database that runs now.
func embeddedURL(cfg config.Store) (string, error) {
	return cluster.Running(filepath.Join(cfg.DataDir, "pg")) //nolint:wrapcheck // a sentence for people
}

// onLiveDatabase runs fn with the database of the settings, which a running
// serve may be using: the embedded one is asked as it is, started only when
// nobody has, and never made, since its folder may be the wrong one.
func (p *process) onLiveDatabase(ctx context.Context, cfg config.Store, fn func(*store) error) error {
	if cfg.DatabaseURL.Reveal() != "" {
		return p.onDatabase(ctx, cfg, fn)
	}
	url, err := embeddedURL(cfg)
	if err != nil {
		if _, err := os.Stat(filepath.Join(cfg.DataDir, "pg")); errors.Is(err, os.ErrNotExist) {
			return fault.Newf(fault.NotFound, "There is no database in %s.", cfg.DataDir).
				WithFix("Name the folder or the database that serve uses, with --data-dir or INVENTIV_DATABASE_URL; serve makes a new one.")
		}
		return p.onDatabase(ctx, cfg, fn)
	}
	pool, err := db.Open(ctx, url, db.Options{MaxConns: 2})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer pool.Close()
	return fn(&store{pool: pool, url: url})
}
