package db

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

const setting = "DATABASE_URL"

// unreadable says that a URL is malformed without repeating any part of it:
// where the parts end is what is in doubt, so each could hold the password.
func unreadable() *fault.Error {
	return fault.New(fault.Invalid, "The database URL cannot be read.").
		WithFix("Give it as postgres://user:password@host:5432/name?sslmode=verify-full, " +
			"with special characters of the password percent-encoded (%40 for @).").
		WithField(setting)
}

var keyword = regexp.MustCompile(`(?:^|\s)([a-z_]+)\s*=`)

// parameters returns the names that a connection string sets in its query, or
// in its "name=value" form. It refuses what is neither before the driver would
// fill in defaults and connect to some other database.
func parameters(text string) (map[string]bool, error) {
	given := make(map[string]bool)
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		if scheme != "postgres" && scheme != "postgresql" {
			return nil, fault.New(fault.Invalid, "The database URL does not begin with postgres://.").
				WithFix("inventiv works with PostgreSQL only: postgres://user:password@host:5432/name?sslmode=verify-full.").
				WithField(setting)
		}
		u, err := url.Parse(text)
		if err != nil {
			return nil, unreadable()
		}
		for name := range u.Query() {
			given[name] = true
		}
		return given, nil
	}
	for _, m := range keyword.FindAllStringSubmatch(text, -1) {
		given[m[1]] = true
	}
	if len(given) == 0 {
		return nil, unreadable()
	}
	return given, nil
}

// requireTLSChoice refuses a remote host when nothing says whether the
// connection is encrypted: the driver's default falls back to plain text as
// soon as somebody on the way asks for it.
func requireTLSChoice(given map[string]bool, cfg *pgx.ConnConfig) error {
	if given["sslmode"] {
		return nil
	}
	hosts := []string{cfg.Host}
	for _, f := range cfg.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		if !local(host) {
			return fault.Newf(fault.Invalid, "The database URL names the host %s without saying sslmode.", host).
				WithFix("Add sslmode=verify-full (or require, or disable on a network you trust).").WithField(setting)
		}
	}
	return nil
}

// local reports whether host is a socket folder or the loopback.
func local(host string) bool {
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// unreachable turns a failed first connection into a sentence.
func unreachable(cfg *pgx.ConnConfig, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	at := cfg.Host
	if !strings.HasPrefix(at, "/") {
		at = net.JoinHostPort(at, strconv.Itoa(int(cfg.Port)))
	}
	why, fix := "does not answer: "+reason(err), "Check the host, the port and that the server runs."
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "28P01", "28000":
			why, fix = "refuses the user or the password", "Check the user name, the password and pg_hba.conf."
		case "3D000":
			why, fix = "has no database "+strconv.Quote(cfg.Database), "Create the database, or correct its name."
		case "53300":
			why, fix = "has no connection left", "Raise max_connections, or lower the pool size."
		default:
			why, fix = "answers: "+pg.Message, "See the server's log."
		}
	}
	return fault.Newf(fault.Unavailable, "PostgreSQL at %s %s.", at, why).WithFix(fix).WithKind("database_unavailable").WithCause(err)
}

// reason names the part of a network error that a person can act on.
func reason(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "the name is unknown"
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		return sys.Err.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return "the connection failed"
}
