package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (l *Log) finish(r *reading) {
	r.oneOf("INVENTIV_LOG_LEVEL", &l.Level, "debug", "info", "warn", "error")
	r.oneOf("INVENTIV_LOG_FORMAT", &l.Format, "auto", "text", "json")
}

func (d *Data) finish(r *reading) {
	if d.DataDir == "" {
		d.DataDir = r.folder("INVENTIV_DATA_DIR", "inventiv", "XDG_DATA_HOME", ".local/share")
	}
	r.absolute("INVENTIV_DATA_DIR", &d.DataDir)
}

func (s *Store) finish(r *reading) {
	s.Data.finish(r)
	derive(&s.MasterKeyFile, filepath.Join(s.DataDir, "master.key"))
	r.absolute("INVENTIV_MASTER_KEY_FILE", &s.MasterKeyFile)
	// The ring itself is read later, by the keyring; a wrong mode is told now,
	// together with everything else.
	if info, err := os.Stat(s.MasterKeyFile); err == nil && info.Mode().Perm()&0o077 != 0 {
		r.wrong("INVENTIV_MASTER_KEY_FILE",
			fmt.Sprintf("names %s, whose mode %04o lets other users read it", s.MasterKeyFile, info.Mode().Perm()),
			"Run chmod 600 "+s.MasterKeyFile+".")
	}
	if s.DatabasePool < 4 || s.DatabasePool > 1000 {
		r.wrong("INVENTIV_DATABASE_POOL", fmt.Sprintf("is %d", s.DatabasePool), "Use 4 to 1000 connections.")
	}
	r.between("INVENTIV_DATABASE_WAIT", s.DatabaseWait, 0, time.Hour)
	s.DatabaseURL = r.database(s.Demo, s.DatabaseURL)
}

func (s *Serve) finish(r *reading) {
	s.Log.finish(r)
	s.Store.finish(r)
	r.listen("INVENTIV_LISTEN", s.Listen)
	r.listen("INVENTIV_AGENT_LISTEN", s.AgentListen)
	r.listen("INVENTIV_METRICS_LISTEN", s.MetricsListen)
	r.endpoints("INVENTIV_AGENT_ENDPOINT", s.AgentEndpoint)
	r.site("INVENTIV_PUBLIC_URL", &s.PublicURL)
	for _, host := range s.AllowedHosts {
		if strings.ContainsAny(host, "/@ *") {
			r.wrong("INVENTIV_ALLOWED_HOSTS", fmt.Sprintf("holds %q, which is not a host name", host),
				"List plain names, such as inventiv.example,10.0.0.5.")
		}
	}
	for i := range s.Providers {
		r.oneOf("INVENTIV_PROVIDERS", &s.Providers[i], "mock")
	}
	derive(&s.MockDir, filepath.Join(s.DataDir, "mock"))
	r.absolute("INVENTIV_MOCK_DIR", &s.MockDir)
	if s.MaxBody < 1<<10 || s.MaxBody > 1<<30 {
		r.wrong("INVENTIV_MAX_BODY", "is "+s.MaxBody.String(), "Use 1KiB to 1GiB.")
	}
	r.between("INVENTIV_WAKE_WAIT", s.WakeWait, 0, 10*time.Minute)
	if s.AuditDays < 0 || s.AuditDays > 36500 {
		r.wrong("INVENTIV_AUDIT_DAYS", fmt.Sprintf("is %d", s.AuditDays), "Use 1 to 36500 days, or 0 for ever.")
	}
	r.between("INVENTIV_SHUTDOWN_DELAY", s.ShutdownDelay, 0, 10*time.Minute)
	r.between("INVENTIV_SHUTDOWN_TIMEOUT", s.ShutdownTimeout, 0, time.Hour)
	s.AdminEmail = strings.ToLower(strings.TrimSpace(s.AdminEmail))
	if name, host, ok := strings.Cut(s.AdminEmail, "@"); !ok || name == "" || host == "" || strings.ContainsAny(s.AdminEmail, " \t,;<>") {
		r.wrong("INVENTIV_ADMIN_EMAIL", fmt.Sprintf("is %q, which is not an e-mail address", s.AdminEmail),
			"Write it plainly, such as admin@inventiv.local.")
	}
	if s.DemoEngineCmd != "" {
		if !s.Demo {
			r.wrong("INVENTIV_DEMO_ENGINE_CMD", "is given, but not --demo", "Add --demo, or leave it out.")
		}
		if !strings.Contains(s.DemoEngineCmd, "{port}") {
			r.wrong("INVENTIV_DEMO_ENGINE_CMD", "does not say where the port goes",
				"Put {port} into the command, such as 'llama-server --port {port}'.")
		}
	}
}

func (a *Agent) finish(r *reading) {
	a.Log.finish(r)
	if a.StateDir == "" {
		a.StateDir = r.folder("INVENTIV_AGENT_STATE_DIR", "inventiv-agent", "XDG_STATE_HOME", ".local/state")
	}
	r.absolute("INVENTIV_AGENT_STATE_DIR", &a.StateDir)
	derive(&a.CAFile, filepath.Join(a.StateDir, "ca.pem"))
	r.absolute("INVENTIV_AGENT_CA_FILE", &a.CAFile)
	derive(&a.TokenFile, filepath.Join(a.StateDir, "join-token"))
	r.absolute("INVENTIV_AGENT_TOKEN_FILE", &a.TokenFile)
	if a.Instance == "" {
		r.wrong("INVENTIV_AGENT_INSTANCE", "is missing", "Give the id of the instance that this node serves.")
	}
	if len(a.Endpoint) == 0 {
		r.wrong("INVENTIV_AGENT_ENDPOINT", "is missing", "List the control plane's addresses, such as inventiv.example:8443.")
	}
	r.endpoints("INVENTIV_AGENT_ENDPOINT", a.Endpoint)
	r.listen("INVENTIV_AGENT_LOCAL_LISTEN", a.Listen)
	if host, _, err := net.SplitHostPort(a.Listen); err == nil && (host == "" || !isLocal(host)) {
		r.wrong("INVENTIV_AGENT_LOCAL_LISTEN", fmt.Sprintf("is %q, which other machines could reach", a.Listen),
			"Use a loopback address, such as 127.0.0.1:9091.")
	}
}

func (c *Client) finish(r *reading) {
	r.site("INVENTIV_URL", &c.URL)
	r.between("INVENTIV_TIMEOUT", c.Timeout, time.Second, time.Hour)
}

// folder returns the default folder called name: below /var/lib as root, else
// where the user's files of that kind are.
func (r *reading) folder(setting, name, xdg, home string) string {
	switch {
	case r.src.Root:
		return filepath.Join("/var/lib", name)
	case filepath.IsAbs(r.environ[xdg]):
		return filepath.Join(r.environ[xdg], name)
	case filepath.IsAbs(r.environ["HOME"]):
		return filepath.Join(r.environ["HOME"], home, name)
	}
	r.wrong(setting, "is not given and cannot be guessed, because HOME is not set", "Give a folder.")
	return ""
}

// derive sets *value to what follows from other settings, unless it was given.
func derive(value *string, fallback string) {
	if *value == "" {
		*value = fallback
	}
}

// absolute makes a path independent of the working folder.
func (r *reading) absolute(setting string, path *string) {
	if *path == "" {
		return
	}
	if strings.HasPrefix(*path, "~") {
		r.wrong(setting, fmt.Sprintf("is %q; only a shell knows what ~ means", *path), "Write the whole path.")
		*path = "/" // so that what is derived from it is not wrong, too
		return
	}
	abs, err := filepath.Abs(*path)
	if err != nil {
		r.wrong(setting, fmt.Sprintf("is %q, and the working folder is unknown", *path), "Write the whole path.")
		return
	}
	*path = abs
}

func (r *reading) oneOf(setting string, value *string, allowed ...string) {
	*value = strings.ToLower(strings.TrimSpace(*value))
	if slices.Contains(allowed, *value) {
		return
	}
	fix := "Use " + strings.Join(allowed, ", ") + "."
	if near := nearest(*value, allowed); near != "" {
		fix = "Did you mean " + near + "? " + fix
	}
	r.wrong(setting, fmt.Sprintf("holds %q, which is not known", *value), fix)
}

func (r *reading) between(setting string, d, least, most time.Duration) {
	if d < least || d > most {
		r.wrong(setting, "is "+d.String(), fmt.Sprintf("Use %s to %s.", short(least), short(most)))
	}
}

// short is Duration.String without the zeros at its end.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// listen checks an address to listen at; the host may be missing or port 0.
func (r *reading) listen(setting, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil || !isPort(port) {
		r.wrong(setting, fmt.Sprintf("is %q, which is not an address to listen at", address),
			"Write host:port, such as 127.0.0.1:8080, or :8080 for all addresses.")
	}
}

// endpoints checks addresses to dial.
func (r *reading) endpoints(setting string, list List) {
	for _, address := range list {
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" || strings.ContainsAny(host, "/@") || !isPort(port) || port == "0" {
			r.wrong(setting, fmt.Sprintf("holds %q, which is not an address to dial", address),
				"List host:port, such as inventiv.example:8443,[2001:db8::1]:8443.")
		}
	}
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// site checks the address of a site and removes a final slash.
func (r *reading) site(setting string, value *string) {
	if *value == "" {
		return
	}
	u, err := url.Parse(*value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		r.wrong(setting, fmt.Sprintf("is %q, which is not the address of a site", masked(*value)),
			"Write scheme, host and, if need be, port, such as https://inventiv.example.")
		return
	}
	*value = strings.TrimRight(*value, "/")
}

// masked hides a password that somebody put into an address.
func masked(address string) string {
	if _, rest, ok := strings.Cut(address, "@"); ok {
		return "…@" + rest
	}
	return address
}

// isLocal reports whether host is this machine: a socket's folder, no host at
// all, localhost or a loopback address.
func isLocal(host string) bool {
	if host == "" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
