package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// DatabaseURL says how to reach PostgreSQL, as a URL or in libpq's form
// "host=… user=…". Its password is not shown; Reveal gives the whole.
type DatabaseURL string

// secretWords are the parameters that hold a password: of the user, and of the
// client's private key.
var secretWords = []string{"password", "sslpassword"}

// Reveal returns the connection string with its password.
func (d DatabaseURL) Reveal() string { return string(d) }

// String returns the connection string without its password.
func (d DatabaseURL) String() string {
	if d == "" {
		return ""
	}
	if strings.Contains(string(d), "://") {
		u, err := url.Parse(string(d))
		if err != nil {
			return mask
		}
		query := u.Query()
		for _, name := range secretWords {
			if query.Has(name) {
				query.Set(name, mask)
				u.RawQuery = query.Encode()
			}
		}
		if _, secret := u.User.Password(); secret {
			u.User = url.UserPassword(u.User.Username(), mask)
		}
		return u.String()
	}
	words, ok := keywords(string(d))
	if !ok {
		return mask
	}
	shown := make([]string, 0, len(words))
	for _, w := range words {
		if slices.Contains(secretWords, w[0]) {
			w[1] = mask
		}
		shown = append(shown, w[0]+"="+w[1])
	}
	return strings.Join(shown, " ")
}

// GoString keeps %#v from showing the password.
func (d DatabaseURL) GoString() string { return strconv.Quote(d.String()) }

// LogValue keeps slog from showing the password.
func (d DatabaseURL) LogValue() slog.Value { return slog.StringValue(d.String()) }

// MarshalText keeps JSON from showing the password.
func (d DatabaseURL) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// database checks the connection string, and takes the demo's part: it does
// not use a database that was named for something else.
func (r *reading) database(demo bool, d DatabaseURL) DatabaseURL {
	const setting = "INVENTIV_DATABASE_URL"
	if demo && r.origin(setting) == OriginAlias {
		r.notice("DATABASE_URL is ignored by the demo, which keeps its data in a database of its own. " +
			"Set INVENTIV_DATABASE_URL to use another one.")
		r.forget(setting)
		return ""
	}
	if d == "" {
		return d
	}
	hosts, mode, problem := destination(string(d))
	if problem != "" {
		r.wrong(setting, problem, "Write postgres://user:password@host:5432/database?sslmode=verify-full.")
		return d
	}
	modes := []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	if mode != "" && !slices.Contains(modes, mode) {
		r.wrong(setting, fmt.Sprintf("has sslmode=%s, which PostgreSQL does not know", mode),
			"Use one of "+strings.Join(modes, ", ")+".")
	}
	for _, host := range hosts {
		if mode == "" && !isLocal(host) {
			r.wrong(setting, fmt.Sprintf("leads to %s without saying whether the connection is encrypted", host),
				"Add sslmode=verify-full, or sslmode=disable on a network that you trust.")
			break
		}
	}
	return d
}

// destination returns the hosts and the sslmode of a connection string, or
// what is wrong with it. It never repeats the string, which holds a password.
func destination(d string) (hosts []string, sslmode, problem string) {
	scheme, _, isURL := strings.Cut(d, "://")
	if !isURL {
		words, ok := keywords(d)
		if !ok || len(words) == 0 {
			return nil, "", "is neither a postgres:// address nor a list of host=… user=… dbname=…"
		}
		for _, w := range words {
			switch w[0] {
			case "host":
				hosts = append(hosts, strings.Split(w[1], ",")...)
			case "sslmode":
				sslmode = w[1]
			}
		}
		return hosts, sslmode, ""
	}
	if scheme != "postgres" && scheme != "postgresql" {
		return nil, "", "starts with " + strconv.Quote(scheme) + ", which is not PostgreSQL"
	}
	u, err := url.Parse(d)
	if err != nil {
		return nil, "", "is not a valid address; special characters of the password must be percent-encoded"
	}
	for host := range strings.SplitSeq(u.Host, ",") {
		hosts = append(hosts, strings.Trim(stripPort(host), "[]"))
	}
	if more := u.Query().Get("host"); more != "" {
		hosts = append(hosts, strings.Split(more, ",")...)
	}
	return hosts, u.Query().Get("sslmode"), ""
}

func stripPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}

// keywords splits libpq's form into pairs; values may be quoted with '.
func keywords(d string) (pairs [][2]string, ok bool) {
	rest := strings.TrimSpace(d)
	for rest != "" {
		name, value, found := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		if !found || name == "" || strings.ContainsAny(name, " '") {
			return nil, false
		}
		value = strings.TrimLeft(value, " ")
		var b strings.Builder
		i, quoted := 0, strings.HasPrefix(value, "'")
		if quoted {
			i = 1
		}
		for ; i < len(value); i++ {
			if value[i] == '\\' && i+1 < len(value) {
				i++
			} else if quoted && value[i] == '\'' || !quoted && value[i] == ' ' {
				break
			}
			b.WriteByte(value[i])
		}
		if quoted && i >= len(value) {
			return nil, false
		}
		pairs = append(pairs, [2]string{name, b.String()})
		rest = strings.TrimSpace(value[min(i+1, len(value)):])
	}
	return pairs, true
}
