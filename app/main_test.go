package app_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app"
)

// run runs the command line with nothing in the environment but a home.
func run(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = app.Main("test", args, append([]string{"HOME=" + t.TempDir()}, env...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestB44_badSettingsAreRefusedWithASentence(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"serve", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}
	for name, c := range map[string]struct {
		env  []string
		args []string
		code int
		says string
	}{
		"unknown command":            {nil, []string{"sevre"}, 2, "sevre"},
		"unknown flag":               {nil, []string{"serve", "--lisen", "x"}, 2, "error: Unknown flag: --lisen.\nfix: See inventiv serve --help."},
		"unknown command below one":  {nil, []string{"migrate", "statu"}, 2, "Did you mean status?"},
		"argument of serve":          {nil, append(free, "x"), 2, `"x" is one argument too many`},
		"argument of doctor":         {nil, []string{"doctor", "x"}, 2, "inventiv doctor."},
		"argument missing":           {nil, []string{"admin", "reset-password"}, 2, "EMAIL is missing"},
		"agent of no instance":       {nil, []string{"agent", "--agent-instance", "x", "--agent-endpoint", "127.0.0.1:1"}, 2, "INVENTIV_AGENT_INSTANCE"},
		"unknown setting":            {[]string{"INVENTIV_LISTNE=x"}, free, 2, "INVENTIV_LISTEN"},
		"wrong unit":                 {[]string{"INVENTIV_SHUTDOWN_TIMEOUT=30"}, free, 2, "INVENTIV_SHUTDOWN_TIMEOUT"},
		"database without sslmode":   {[]string{"DATABASE_URL=postgres://u:hunter2@db.example.com/x"}, free, 2, "sslmode"},
		"database that is not there": {[]string{"DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable", "INVENTIV_DATABASE_WAIT=0s"}, append(free, "--data-dir", t.TempDir()), 1, "127.0.0.1"},
		"port in use":                {nil, append(free[:1:1], "--data-dir", t.TempDir(), "--listen", taken.Addr().String()), 1, taken.Addr().String()},
		"data folder that is a file": {nil, append(free, "--data-dir", filepath.Join(file, "x")), 1, file},
		"demo below a file":          {nil, append(free, "--demo", "--data-dir", filepath.Join(file, "x")), 1, "cannot be written.\nfix: Name another one"},
		"no database to work on":     {nil, []string{"admin", "setup-url", "--data-dir", t.TempDir()}, 4, "There is no database in"},
		"provider that is not here":  {nil, append(free, "--data-dir", t.TempDir(), "--providers", "scaleway"), 2, "Use mock."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, errs := run(t, c.env, c.args...)
			if code != c.code || !strings.Contains(errs, c.says) {
				t.Errorf("exit %d, want %d, and %q in\n%s", code, c.code, c.says, errs)
			}
			if strings.Contains(errs, "hunter2") || strings.Contains(errs, "goroutine") || strings.Contains(errs, ".go:") {
				t.Errorf("it shows a secret or a stack trace:\n%s", errs)
			}
		})
	}
}
