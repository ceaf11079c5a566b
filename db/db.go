// Package db is the storage platform: a pool, a transaction, migrations and a
// listening connection. It knows no table; those belong to the modules.
package db

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// oldest is the oldest PostgreSQL we run on, as server_version_num.
const oldest = 150000

// Options tune a pool. The zero value is right for a server.
type Options struct {
	MaxConns    int32         // 0: 16
	ConnectWait time.Duration // how long Open waits for a first answer; 0: 5 s
}

// Open connects to the PostgreSQL at url and returns a pool that has answered
// once. It fails with fault.Invalid when url cannot be read or would send
// secrets unencrypted to another host, and with fault.Unavailable when nobody
// answers, the password is wrong or the server is older than PostgreSQL 15.
// The faults never contain the password.
func Open(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = 16
	if o.MaxConns > 0 {
		cfg.MaxConns = o.MaxConns
	}
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	wait := o.ConnectWait
	if wait == 0 {
		wait = 5 * time.Second
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make a pool: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// parse reads a connection string and sets what every connection of ours has.
func parse(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx masks the password in the text of this error.
		return nil, fault.New(fault.Invalid, "The database URL cannot be read.").
			WithFix("Give it as postgres://user:password@host:5432/name?sslmode=verify-full.").WithField("DATABASE_URL").WithCause(err)
	}
	if !local(cfg.ConnConfig.Host) && !strings.Contains(url, "sslmode") {
		return nil, fault.Newf(fault.Invalid, "The database URL names the host %s without saying sslmode.", cfg.ConnConfig.Host).
			WithFix("Add sslmode=verify-full (or require, or disable on a network you trust).").WithField("DATABASE_URL")
	}
	params := cfg.ConnConfig.RuntimeParams
	for name, value := range map[string]string{
		"application_name":                    "inventiv",
		"timezone":                            "UTC",
		"statement_timeout":                   "30s",
		"idle_in_transaction_session_timeout": "60s",
	} {
		if params[name] == "" {
			params[name] = value
		}
	}
	return cfg, nil
}

// local reports whether host is a socket folder or the loopback.
func local(host string) bool {
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func check(ctx context.Context, pool *pgxpool.Pool) error {
	var version int
	if err := pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return unreachable(pool.Config().ConnConfig, err)
	}
	if version < oldest {
		return fault.Newf(fault.Unavailable, "The database is PostgreSQL %d; 15 or newer is needed.", version/10000).
			WithFix("Upgrade the server, or leave DATABASE_URL away to use the embedded one.")
	}
	return nil
}

// unreachable turns a failed connection into a sentence.
func unreachable(cfg *pgx.ConnConfig, err error) error {
	why, fix := "does not answer", "Check the host, the port and that the server runs."
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "28P01", "28000":
			why, fix = "refuses the user or the password", "Check the user name, the password and pg_hba.conf."
		case "3D000":
			why, fix = "has no such database", "Create the database, or correct its name."
		case "53300":
			why, fix = "has no connection left", "Raise max_connections, or lower the pool size."
		default:
			why, fix = "answers: "+pg.Message, "See the server's log."
		}
	}
	return fault.Newf(fault.Unavailable, "PostgreSQL at %s %s.", cfg.Host, why).WithFix(fix).WithKind("database_unavailable").WithCause(err)
}

// Ready reports by a nil error that the database answers now.
func Ready(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		return fault.New(fault.Unavailable, "The database does not answer.").WithKind("database_unavailable").WithCause(err)
	}
	return nil
}

// InTx runs fn in one transaction: committed when fn returns nil, rolled back
// otherwise. It does not nest: what must join takes the pgx.Tx. fn talks to the
// database only, never to a provider, a file or a peer, because it may be
// rolled back and because it holds a connection and locks.
func InTx(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, fn) //nolint:wrapcheck // fn's error is the caller's own
}

// IsUnique reports whether err is a violation of the unique constraint or index
// with that name.
func IsUnique(err error, constraint string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "23505" && pg.ConstraintName == constraint
}
