// Package db is the storage platform: a pool, a transaction, migrations and a
// listening connection. It knows no table; those belong to the modules.
package db

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

const (
	oldest           = 150000  // the oldest PostgreSQL we run on, as server_version_num
	cannotConnectNow = "57P03" // the error code of a server that is starting up
)

// Options tune a pool. The zero value is right for a server.
type Options struct {
	Name        string        // what pg_stat_activity shows; empty: "inventiv"
	MaxConns    int32         // 0: pool_max_conns of the URL, else 16
	ConnectWait time.Duration // how long Open waits for a first answer; 0: 5 s
	StartWait   time.Duration // how long Open waits for a server that seems to be starting; 0: not at all
	Log         *slog.Logger  // is told of that; may be nil without StartWait
}

// Open connects to the PostgreSQL at url and returns a pool that has answered
// once. It fails with fault.Invalid when url cannot be read or leaves it to
// chance whether a connection to another host is encrypted, and with
// fault.Unavailable when nobody answers, the password is wrong or the server is
// older than PostgreSQL 15. The faults never contain the password.
func Open(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	if o.MaxConns > 0 {
		cfg.MaxConns = o.MaxConns
	}
	if o.Name != "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = o.Name
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make a pool: %w", err)
	}
	if err := await(ctx, pool, o); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// await waits for a first answer, and longer for a server that may be on its
// way: it was started together with us, or recovers from a crash.
func await(ctx context.Context, pool *pgxpool.Pool, o Options) error {
	told := false
	for until := time.Now().Add(o.StartWait); ; {
		asking, cancel := context.WithTimeout(ctx, cmp.Or(o.ConnectWait, 5*time.Second))
		err := check(asking, pool)
		cancel()
		if err == nil || !starting(err) || time.Now().After(until) {
			return err
		}
		if !told {
			o.Log.WarnContext(ctx, "waiting for the database", "for", o.StartWait, "err", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// starting reports whether the reason for which a server cannot be used is one
// that goes away while it starts.
func starting(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == cannotConnectNow
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || // nobody listens, on TCP and on a socket
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF) // it has just ended
}

// parse reads a connection string and sets what every connection of ours has,
// where the string leaves it open.
func parse(url string) (*pgxpool.Config, error) {
	given, err := parameters(url)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, unreadable()
	}
	if err := requireTLSChoice(given, cfg.ConnConfig); err != nil {
		return nil, err
	}
	if !given["pool_max_conns"] {
		cfg.MaxConns = 16
	}
	// Both caches take memory for what they may hold. We have some 200 queries, and
	// hardly any is described without being prepared.
	if !given["statement_cache_capacity"] {
		cfg.ConnConfig.StatementCacheCapacity = 256
	}
	if !given["description_cache_capacity"] {
		cfg.ConnConfig.DescriptionCacheCapacity = 16
	}
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap()) // or each id goes through text and back
		return nil
	}
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	cfg.ConnConfig.Tracer = hurry{}
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

// IsLost reports whether err says that the connection to the server has ended, or
// could not be made, which may be over soon.
func IsLost(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(pg.Code, "57P") // it is stopped, has crashed, or is starting
	}
	_, unreached := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	return unreached || (network || pgconn.SafeToRetry(err) || starting(err)) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// IsUnique reports whether err is a violation of the unique constraint or index
// with that name.
func IsUnique(err error, constraint string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "23505" && pg.ConstraintName == constraint
}
