package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// read parses args and reads the settings of a command from them and environ.
func read(t *testing.T, into config.Settings, args, environ []string) (config.Effective, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	reader := config.Register(flags, into)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return reader.Read(config.Source{Environ: append([]string{"HOME=/home/ada", "PATH=/bin"}, environ...)})
}

func origin(t *testing.T, e config.Effective, name string) string {
	t.Helper()
	for _, v := range e.Values {
		if v.Name == name {
			return v.Value + " (" + string(v.Origin) + ")"
		}
	}
	t.Fatalf("%s is not among the effective settings", name)
	return ""
}

func TestRead_defaults(t *testing.T) {
	t.Parallel()
	var s config.Serve
	eff, err := read(t, &s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		s.Listen: "127.0.0.1:8080", s.AgentListen: "127.0.0.1:8443", s.MetricsListen: "127.0.0.1:9090",
		s.DataDir:       "/home/ada/.local/share/inventiv",
		s.MasterKeyFile: "/home/ada/.local/share/inventiv/master.key",
		s.MockDir:       "/home/ada/.local/share/inventiv/mock",
		s.AdminEmail:    "admin@inventiv.local", s.Level: "info", s.Format: "auto",
		s.MaxBody.String(): "32MiB", fmt.Sprint(s.DatabaseURL, s.AdminPassword): "",
	} {
		if got != want {
			t.Errorf("default is %q, want %q", got, want)
		}
	}
	if got := origin(t, eff, "INVENTIV_LISTEN"); got != "127.0.0.1:8080 (default)" {
		t.Errorf("effective: %s", got)
	}
	if len(eff.Notices) != 0 || s.Demo || s.ShutdownTimeout != 30*time.Second {
		t.Errorf("defaults: %+v %v", s, eff.Notices)
	}
}

func TestRead_dataDir(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		src  config.Source
		want string
	}{
		"root":             {config.Source{Root: true, Environ: []string{"HOME=/root"}}, "/var/lib/inventiv"},
		"XDG":              {config.Source{Environ: []string{"HOME=/home/ada", "XDG_DATA_HOME=/data"}}, "/data/inventiv"},
		"a useless XDG":    {config.Source{Environ: []string{"HOME=/home/ada", "XDG_DATA_HOME=data"}}, "/home/ada/.local/share/inventiv"},
		"given, also root": {config.Source{Root: true, Environ: []string{"INVENTIV_DATA_DIR=/srv/inv"}}, "/srv/inv"},
		"no home":          {config.Source{}, "error"},
	} {
		var s config.Store
		_, err := config.Register(pflag.NewFlagSet("test", pflag.ContinueOnError), &s).Read(c.src)
		if got := s.DataDir; err == nil && got != c.want || err != nil && c.want != "error" {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestRead_flagBeatsEnvironmentBeatsDefault(t *testing.T) {
	t.Parallel()
	var s config.Serve
	eff, err := read(t, &s,
		[]string{"--listen", ":9000", "--demo", "--providers", "mock", "--providers", "mock"},
		[]string{"INVENTIV_LISTEN=127.0.0.1:7000", "INVENTIV_METRICS_LISTEN=127.0.0.1:0", "INVENTIV_PUBLIC_URL="})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"INVENTIV_LISTEN":         ":9000 (flag)",
		"INVENTIV_METRICS_LISTEN": "127.0.0.1:0 (environment)",
		"INVENTIV_AGENT_LISTEN":   "127.0.0.1:8443 (default)",
		"INVENTIV_DEMO":           "true (flag)",
		"INVENTIV_PROVIDERS":      "mock,mock (flag)",
		"INVENTIV_PUBLIC_URL":     " (default)",
	} {
		if got := origin(t, eff, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestRead_everyTypeReadsWhatItShould(t *testing.T) {
	t.Parallel()
	var s config.Serve
	_, err := read(t, &s, nil, []string{
		"INVENTIV_TRUSTED_PROXIES=10.0.0.5, 192.168.1.7/24 ,fd00::1",
		"INVENTIV_ALLOWED_HOSTS=a.example, b.example,",
		"INVENTIV_MAX_BODY=2 mb",
		"INVENTIV_SHUTDOWN_TIMEOUT=1m30s",
		"INVENTIV_PUBLIC_URL=https://inventiv.example/",
		"INVENTIV_ADMIN_EMAIL= Ada@Example.ORG",
		"INVENTIV_LOG_LEVEL=WARN",
		"INVENTIV_DATA_DIR=relative",
	})
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.TrustedProxies, s.AllowedHosts, int64(s.MaxBody), s.ShutdownTimeout, s.PublicURL, s.AdminEmail, s.Level)
	want := "10.0.0.5/32,192.168.1.0/24,fd00::1/128a.example,b.example2000000 1m30shttps://inventiv.exampleada@example.orgwarn"
	if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("read %s", got)
	}
	if s.MockDir != filepath.Join(wd, "relative", "mock") {
		t.Errorf("MockDir = %s", s.MockDir)
	}
}

// B44: each row is one mistake; the error names the setting and says what to do.
func TestRead_B44_refusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := file("open.key", "k", 0o644)
	empty := file("empty", "\n", 0o600)
	big := file("big", strings.Repeat("x", 70_000), 0o600)
	good := file("good", "s3cret-value\n", 0o600)

	for name, c := range map[string]struct {
		env  string // lines
		args string
		want []string // each in the error
	}{
		"unknown":         {env: "INVENTIV_LISTN=:1", want: []string{"INVENTIV_LISTN is not a setting.", "Did you mean INVENTIV_LISTEN?"}},
		"letters swapped": {env: "INVENTIV_PUBILC_URL=x", want: []string{"Did you mean INVENTIV_PUBLIC_URL?"}},
		"unknown file":    {env: "INVENTIV_API_KYE_FILE=x", want: []string{"Did you mean INVENTIV_API_KEY_FILE?"}},
		"nothing like it": {env: "INVENTIV_TURBO_ENCABULATOR=1", want: []string{"INVENTIV_TURBO_ENCABULATOR is not a setting.", "--help"}},
		"no unit":         {env: "INVENTIV_SHUTDOWN_TIMEOUT=30", want: []string{`INVENTIV_SHUTDOWN_TIMEOUT is "30"`, "with a unit, such as 30s"}},
		"wrong unit":      {args: "--shutdown-timeout=30sec", want: []string{`--shutdown-timeout is "30sec"`, "5m"}},
		"days before now": {env: "INVENTIV_AUDIT_DAYS=-1", want: []string{"INVENTIV_AUDIT_DAYS is -1", "or 0 for ever"}},
		"too long":        {env: "INVENTIV_SHUTDOWN_TIMEOUT=48h", want: []string{"0s to 1h"}},
		"port only":       {env: "INVENTIV_LISTEN=8080", want: []string{`INVENTIV_LISTEN is "8080"`, "host:port"}},
		"port too high":   {env: "INVENTIV_LISTEN=127.0.0.1:80800", want: []string{"INVENTIV_LISTEN"}},
		"port by name":    {args: "--agent-listen=:https", want: []string{"--agent-listen", "host:port"}},
		"port signed":     {env: "INVENTIV_LISTEN=127.0.0.1:+80", want: []string{"INVENTIV_LISTEN"}},
		"size":            {env: "INVENTIV_MAX_BODY=a lot", want: []string{`INVENTIV_MAX_BODY is "a lot"`, "32MiB"}},
		"size overflows":  {env: "INVENTIV_MAX_BODY=99999999999GiB", want: []string{"not a size"}},
		"size too small":  {env: "INVENTIV_MAX_BODY=10", want: []string{"is 10B", "1KiB to 1GiB"}},
		"number":          {env: "INVENTIV_DATABASE_POOL=many", want: []string{`INVENTIV_DATABASE_POOL is "many"`, "whole number"}},
		"number range":    {env: "INVENTIV_DATABASE_POOL=0", want: []string{"4 to 1000"}},
		"bool":            {env: "INVENTIV_DEMO=yes please", want: []string{"neither true nor false"}},
		"choice":          {env: "INVENTIV_LOG_FORMAT=jsn", want: []string{"Did you mean json?"}},
		"provider":        {env: "INVENTIV_PROVIDERS=mock,mok", want: []string{`"mok"`, "Did you mean mock?"}},
		"proxy":           {env: "INVENTIV_TRUSTED_PROXIES=proxy.local", want: []string{`"proxy.local"`, "192.168.0.0/24"}},
		"host":            {env: "INVENTIV_ALLOWED_HOSTS=https://a.example", want: []string{"INVENTIV_ALLOWED_HOSTS", "plain names"}},
		"public URL":      {env: "INVENTIV_PUBLIC_URL=inventiv.example", want: []string{"INVENTIV_PUBLIC_URL", "https://"}},
		"URL with path":   {env: "INVENTIV_PUBLIC_URL=https://a.example/inventiv", want: []string{"INVENTIV_PUBLIC_URL"}},
		"URL with secret": {env: "INVENTIV_PUBLIC_URL=https://ada:s3cret-value@a.example", want: []string{"INVENTIV_PUBLIC_URL"}},
		"endpoint":        {env: "INVENTIV_AGENT_ENDPOINT=a.example:8443,b.example", want: []string{`"b.example"`}},
		"e-mail":          {env: "INVENTIV_ADMIN_EMAIL=admin", want: []string{`"admin"`, "e-mail"}},
		"tilde":           {args: "--data-dir=~/data", want: []string{"--data-dir", "whole path"}},
		"engine, no port": {env: "INVENTIV_DEMO_ENGINE_CMD=llama-server", args: "--demo", want: []string{"{port}"}},
		"engine, no demo": {args: "--demo-engine-cmd=x{port}", want: []string{"--demo"}},
		"open key ring":   {env: "INVENTIV_MASTER_KEY_FILE=" + open, want: []string{"INVENTIV_MASTER_KEY_FILE", "0644", "chmod 600"}},
		"empty secret":    {env: "INVENTIV_ADMIN_PASSWORD=", want: []string{"INVENTIV_ADMIN_PASSWORD is set, but empty"}},
		"empty file":      {env: "INVENTIV_ADMIN_PASSWORD_FILE=" + empty, want: []string{"INVENTIV_ADMIN_PASSWORD_FILE", "empty"}},
		"missing file":    {args: "--admin-password-file=/nowhere", want: []string{"--admin-password-file names /nowhere", "no such file"}},
		"a folder":        {env: "INVENTIV_ADMIN_PASSWORD_FILE=" + dir, want: []string{"cannot be read"}},
		"large file":      {env: "INVENTIV_ADMIN_PASSWORD_FILE=" + big, want: []string{"64 KiB"}},
		"both": {
			env:  "INVENTIV_ADMIN_PASSWORD=s3cret-value\nINVENTIV_ADMIN_PASSWORD_FILE=" + good,
			want: []string{"INVENTIV_ADMIN_PASSWORD and INVENTIV_ADMIN_PASSWORD_FILE are both set"},
		},
		"db without sslmode": {env: "INVENTIV_DATABASE_URL=postgres://ada:s3cret-value@db.example/inv", want: []string{"db.example", "sslmode=verify-full"}},
		"plain name too":     {env: "DATABASE_URL=postgres://ada:s3cret-value@db.example/inv", want: []string{"DATABASE_URL leads to db.example"}},
		"db, second host":    {env: "INVENTIV_DATABASE_URL=postgres://localhost,db.example:5433/inv", want: []string{"db.example"}},
		"db, host option":    {env: "INVENTIV_DATABASE_URL=postgres:///inv?host=db.example", want: []string{"db.example"}},
		"db in libpq's form": {env: "INVENTIV_DATABASE_URL=host=db.example password='s3cret-value' dbname=inv", want: []string{"db.example"}},
		"db, wrong sslmode":  {env: "INVENTIV_DATABASE_URL=postgres://db.example/inv?sslmode=on", want: []string{"sslmode=on", "verify-ca"}},
		"db, other kind":     {env: "INVENTIV_DATABASE_URL=mysql://ada:s3cret-value@db.example/inv", want: []string{`"mysql"`, "postgres://"}},
		"db, bad escape":     {env: "INVENTIV_DATABASE_URL=postgres://ada:s3cret-value%zz@db.example/inv", want: []string{"percent-encoded"}},
		"db, nonsense":       {env: "INVENTIV_DATABASE_URL=s3cret-value", want: []string{"neither"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s config.Serve
			var args []string
			if c.args != "" {
				args = []string{c.args}
			}
			_, err := read(t, &s, args, strings.Split(c.env, "\n"))
			if err == nil {
				t.Fatal("accepted")
			}
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("not a fault: %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "s3cret-value") {
				t.Errorf("the error holds a secret:\n%v", err)
			}
			if strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("one mistake, more than one problem:\n%v", err)
			}
		})
	}
}

// B44: everything at once.
func TestRead_B44_allProblemsAtOnce(t *testing.T) {
	t.Parallel()
	var s config.Serve
	_, err := read(t, &s, []string{"--max-body=huge"}, []string{
		"INVENTIV_LISTN=:1", "INVENTIV_SHUTDOWN_TIMEOUT=30", "INVENTIV_AGENT_LISTEN=8443", "INVENTIV_ADMIN_PASSWORD=",
		"INVENTIV_DATABASE_URL=postgres://db.example/inv",
	})
	all, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("error is %T", err)
	}
	var about []string
	for _, p := range all.Problems {
		if p.Fix == "" || !strings.HasSuffix(p.Text, ".") {
			t.Errorf("problem is no sentence with a fix: %+v", p)
		}
		about = append(about, p.Field)
	}
	slices.Sort(about)
	want := "INVENTIV_ADMIN_PASSWORD INVENTIV_AGENT_LISTEN INVENTIV_DATABASE_URL INVENTIV_LISTN INVENTIV_MAX_BODY INVENTIV_SHUTDOWN_TIMEOUT"
	if got := strings.Join(about, " "); got != want {
		t.Errorf("problems with %s\nwant %s", got, want)
	}
	if !strings.HasPrefix(err.Error(), "6 settings cannot be used.\n") {
		t.Errorf("error starts with %q", err.Error())
	}
}

func TestRead_knowsTheNamesOfAllCommands(t *testing.T) {
	t.Parallel()
	// What demo.env holds must not keep serve from starting, and the other way round.
	environ := []string{
		"OPENAI_BASE_URL=x", "OPENAI_API_KEY=x", "OPENAI_MODEL=x",
		"INVENTIV_URL=http://127.0.0.1:8080", "INVENTIV_API_KEY=k",
		"INVENTIV_ADMIN_EMAIL=a@b.example", "INVENTIV_ADMIN_PASSWORD=p",
		"INVENTIV_AGENT_INSTANCE=i", "INVENTIV_AGENT_ENDPOINT=a.example:8443", "INVENTIV_MAX_BODY=1MiB",
	}
	for _, command := range []config.Settings{&config.Serve{}, &config.Store{}, &config.Agent{}, &config.Client{}} {
		if _, err := read(t, command, nil, environ); err != nil {
			t.Errorf("%T: %v", command, err)
		}
	}
}

func TestRead_databaseURL(t *testing.T) {
	t.Parallel()
	const mine, plain = "postgres://me@localhost/mine", "postgres://me@127.0.0.1/plain"
	for name, c := range map[string]struct {
		args, env []string
		want      string
		notice    bool
	}{
		"none":              {nil, nil, "", false},
		"plain":             {nil, []string{"DATABASE_URL=" + plain}, plain, false},
		"ours":              {nil, []string{"INVENTIV_DATABASE_URL=" + mine}, mine, false},
		"ours beats plain":  {nil, []string{"DATABASE_URL=" + plain, "INVENTIV_DATABASE_URL=" + mine}, mine, false},
		"demo and plain":    {[]string{"--demo"}, []string{"DATABASE_URL=" + plain}, "", true},
		"demo, even wrong":  {[]string{"--demo"}, []string{"DATABASE_URL=mysql://db.example"}, "", true},
		"demo and ours":     {[]string{"--demo"}, []string{"DATABASE_URL=" + plain, "INVENTIV_DATABASE_URL=" + mine}, mine, false},
		"socket":            {nil, []string{"DATABASE_URL=postgres:///inv?host=/run/postgresql"}, "postgres:///inv?host=/run/postgresql", false},
		"libpq, local":      {nil, []string{"DATABASE_URL=host=/run/postgresql user=inv"}, "host=/run/postgresql user=inv", false},
		"remote, encrypted": {nil, []string{"DATABASE_URL=postgres://db.example/i?sslmode=require"}, "postgres://db.example/i?sslmode=require", false},
		"remote, knowingly": {nil, []string{"DATABASE_URL=host=db.example sslmode=disable"}, "host=db.example sslmode=disable", false},
		"IPv6 loopback":     {nil, []string{"DATABASE_URL=postgres://[::1]:5433/i"}, "postgres://[::1]:5433/i", false},
	} {
		var s config.Store
		eff, err := read(t, &s, c.args, c.env)
		if err != nil || s.DatabaseURL.Reveal() != c.want {
			t.Errorf("%s: %q, %v; want %q", name, s.DatabaseURL.Reveal(), err, c.want)
		}
		if got := len(eff.Notices) > 0; got != c.notice {
			t.Errorf("%s: notices %q", name, eff.Notices)
		}
	}
}

func TestSecrets_areNeverShown(t *testing.T) {
	t.Parallel()
	const hidden = "s3cret-value"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(hidden+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{
		"postgres://ada:" + hidden + "@localhost/inv", "postgres://localhost/inv?password=" + hidden, "postgres://localhost/inv?sslpassword=" + hidden,
		"host=/run user=ada password=" + hidden, "host=/run password='" + hidden + `\' x'`,
	} {
		var s config.Serve
		eff, err := read(t, &s, []string{"--admin-password-file", file},
			[]string{"INVENTIV_DATABASE_URL=" + url})
		if err != nil {
			t.Fatal(err)
		}
		if s.AdminPassword.Reveal() != hidden || s.DatabaseURL.Reveal() != url {
			t.Fatal("the secrets were not read")
		}
		asJSON, err := json.Marshal([]any{s.AdminPassword, s.DatabaseURL})
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "password", s.AdminPassword, "database", s.DatabaseURL)
		for what, text := range map[string]string{
			"print": fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s.AdminPassword, s.AdminPassword),
			"JSON":  string(asJSON), "log": log.String(), "effective": fmt.Sprint(eff),
		} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s shows a secret: %s", what, text)
			}
		}
		if got := origin(t, eff, "INVENTIV_ADMIN_PASSWORD"); got != "******** (flag)" {
			t.Errorf("effective password: %s", got)
		}
	}
}

func TestRegister_help(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Register(flags, &config.Serve{})
	help := flags.FlagUsages()
	for _, want := range []string{
		"--listen string", `(INVENTIV_LISTEN) (default "127.0.0.1:8080")`, "--admin-password-file file",
		"--database-url-file file", "file with the address of a PostgreSQL", "(INVENTIV_DATA_DIR; default /var/lib/inventiv as root", "--max-body size", "--demo ",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, help)
		}
	}
	for _, wrong := range []string{"--admin-password ", "--database-url ", "--scw"} {
		if strings.Contains(help, wrong) {
			t.Errorf("help offers %q", wrong)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if strings.TrimSpace(strings.Split(f.Usage, "(INVENTIV_")[0]) == "" {
			t.Errorf("--%s has no help", f.Name)
		}
	})
}

func TestAgent_needsToKnowWhomToServe(t *testing.T) {
	t.Parallel()
	var a config.Agent
	_, err := read(t, &a, []string{"--agent-local-listen=:9091"}, nil)
	if err == nil || strings.Count(err.Error(), "is missing") != 2 || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("Read = %v", err)
	}
	a = config.Agent{}
	_, err = read(t, &a, []string{
		"--agent-instance=i-1", "--agent-endpoint=[2001:db8::1]:8443,b.example:8443", "--agent-state-dir=/s",
	}, nil)
	if err != nil || a.CAFile != "/s/ca.pem" || a.TokenFile != "/s/join-token" || len(a.Endpoint) != 2 {
		t.Errorf("Read = %+v, %v", a, err)
	}
}

func TestServe_addresses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg                    config.Serve
		bound, site, endpoints string
		hosts                  []string
	}{
		"as shipped": {config.Serve{}, "127.0.0.1:8080", "http://127.0.0.1:8080", "[127.0.0.1:8080]", nil},
		"everywhere": {config.Serve{}, "[::]:8080", "http://127.0.0.1:8080", "[127.0.0.1:8080]", nil},
		"one address": {
			config.Serve{}, "10.0.0.5:8080", "http://10.0.0.5:8080", "[10.0.0.5:8080]", []string{"10.0.0.5"},
		},
		"public": {
			config.Serve{PublicURL: "https://inv.example", AllowedHosts: config.List{"alias"}}, "0.0.0.0:8443",
			"https://inv.example", "[inv.example:8443]", []string{"inv.example", "alias"},
		},
		"given": {
			config.Serve{AgentEndpoint: config.List{"a:1", "b:2"}}, "0.0.0.0:8443", "http://127.0.0.1:8443", "[a:1 b:2]", nil,
		},
	} {
		if got := c.cfg.Site(c.bound); got != c.site {
			t.Errorf("%s: site %s, want %s", name, got, c.site)
		}
		if got := fmt.Sprint(c.cfg.AgentEndpoints(c.bound)); got != c.endpoints {
			t.Errorf("%s: endpoints %s, want %s", name, got, c.endpoints)
		}
		hosts := c.cfg.Hosts(c.bound)
		for _, want := range append([]string{"localhost", "127.0.0.1", "::1"}, c.hosts...) {
			if !slices.Contains(hosts, want) {
				t.Errorf("%s: hosts %v lack %s", name, hosts, want)
			}
		}
		if slices.Contains(hosts, "0.0.0.0") || slices.Contains(hosts, "") {
			t.Errorf("%s: hosts %v", name, hosts)
		}
	}
}
