package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/cli"
	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// examine runs the doctor and returns its findings by check, and its error.
func examine(t *testing.T, environ []string, more ...cli.Check) (map[string]cli.Finding, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := cli.Doctor(cli.Config{Environ: append(environ, "HOME=/nowhere"), Stdout: &out, Stderr: io.Discard, Spool: fakeSpool}, more...)
	cmd.SetArgs([]string{"-o", "json"})
	err := cmd.ExecuteContext(t.Context())
	var list []cli.Finding
	if bad := json.Unmarshal(out.Bytes(), &list); bad != nil {
		t.Fatalf("findings %q: %v", out.String(), bad)
	}
	found := map[string]cli.Finding{}
	for _, f := range list {
		found[f.Check] = f
		if f.Health != cli.Good && f.Health != cli.Warn && f.Health != cli.Bad || f.Text == "" || f.Health == cli.Bad && f.Fix == "" {
			t.Errorf("finding %+v does not say all of it", f)
		}
	}
	return found, err
}

// fakeSpool finds what its files are in their names.
func fakeSpool(dir string) ([]cli.SpoolFile, error) {
	var files []cli.SpoolFile
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		f := cli.SpoolFile{Name: name, Bytes: info.Size()}
		if name == "waiting" {
			f.Waiting, f.KeptBytes = 1, 1<<20
		}
		files = append(files, f)
		return err
	})
	return files, err
}

// free returns an address at which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDoctor_findsNothingWrongWithAFreshHost(t *testing.T) {
	t.Parallel()
	called := false
	more := cli.Check{Name: "extra", Look: func(_ context.Context, cfg config.Serve) cli.Finding {
		called = cfg.DataDir != ""
		return cli.Finding{Health: cli.Good, Text: "Fine."}
	}}
	found, err := examine(t, []string{
		"INVENTIV_DATA_DIR=" + filepath.Join(t.TempDir(), "new", "er"), "INVENTIV_LISTEN=" + free(t), "INVENTIV_AGENT_LISTEN=" + free(t), "INVENTIV_METRICS_LISTEN=" + free(t),
	}, more)
	if err != nil || !called {
		t.Errorf("error %v, extra check called %v", err, called)
	}
	for _, name := range []string{"settings", "extra", "data", "spool", "console", "agents", "metrics"} {
		if found[name].Health != cli.Good {
			t.Errorf("%s: %+v, want ok", name, found[name])
		}
	}
	for _, name := range []string{"gateway", "master key"} { // not there yet
		if found[name].Health != cli.Warn {
			t.Errorf("%s: %+v, want warn", name, found[name])
		}
	}
}

func TestDoctor_recognisesWhatRunsAndWhatDoesNotBelong(t *testing.T) {
	t.Parallel()
	ours := http.NewServeMux()
	ours.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok\n") })
	ours.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ready\n") })
	ours.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"code":"missing_api_key"}}`)
	})
	console, foreign := httptest.NewServer(ours), httptest.NewServer(http.NotFoundHandler())
	defer console.Close()
	defer foreign.Close()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(touch(t, filepath.Join(dir, "spool", "waiting")), 100<<20); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(dir, "master.key"))
	found, err := examine(t, []string{
		"INVENTIV_DATA_DIR=" + dir, "INVENTIV_LISTEN=" + console.Listener.Addr().String(),
		"INVENTIV_AGENT_LISTEN=" + foreign.Listener.Addr().String(), "INVENTIV_METRICS_LISTEN=192.0.2.1:9090",
	})
	if exit := exitOf(t, err); exit != 1 {
		t.Errorf("error %v, exit %d; want 1", err, exit)
	}
	for name, want := range map[string]cli.Health{
		"console": cli.Good, "gateway": cli.Good, "master key": cli.Good, "spool": cli.Warn, "agents": cli.Bad, "metrics": cli.Bad,
	} {
		if found[name].Health != want {
			t.Errorf("%s: %+v, want %s", name, found[name], want)
		}
	}
	if f := found["agents"]; !strings.Contains(f.Fix, "INVENTIV_AGENT_LISTEN") {
		t.Errorf("agents: %+v, want the setting to change", f)
	}
}

func TestF30_doctorShowsTheQuarantine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "spool", "quarantine"), 0o700); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(dir, "spool", "quarantine", "refused"))
	found, _ := examine(t, []string{"INVENTIV_DATA_DIR=" + dir})
	if f := found["spool"]; f.Health != cli.Warn || !strings.Contains(f.Text, "quarantine: 1.") || !strings.Contains(f.Fix, "inventiv usage spool") {
		t.Errorf("spool: %+v, want a warning that says how to look", f)
	}
}

// TestF27_doctorDoesNotCallWaitingWhatIsKept has much more kept than may wait.
func TestF27_doctorDoesNotCallWaitingWhatIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"kept": 200 << 20, "waiting": 3 << 20} {
		if err := os.Truncate(touch(t, filepath.Join(dir, "spool", name)), size); err != nil {
			t.Fatal(err)
		}
	}
	found, _ := examine(t, []string{"INVENTIV_DATA_DIR=" + dir})
	if f := found["spool"]; f.Health != cli.Good || !strings.Contains(f.Text, "2.0 MiB wait") || !strings.Contains(f.Text, "201.0 MiB are stored and kept") {
		t.Errorf("spool: %+v, want that 2 MiB wait and 201 MiB are kept", f)
	}
}

func touch(t *testing.T, name string) string {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDoctor_saysWhatIsWrongWithTheSettings(t *testing.T) {
	t.Parallel()
	found, err := examine(t, []string{"INVENTIV_LISTEN=nowhere", "INVENTIV_MAX_BODY=much"})
	if exit := exitOf(t, err); exit != 1 {
		t.Errorf("error %v, exit %d; want 1", err, exit)
	}
	if len(found) != 1 || found["settings"].Health != cli.Bad {
		t.Errorf("findings %+v; want the settings alone", found)
	}
	file := touch(t, filepath.Join(t.TempDir(), "file"))
	found, err = examine(t, []string{"INVENTIV_DATA_DIR=" + filepath.Join(file, "below"), "INVENTIV_LISTEN=" + free(t)})
	if err == nil || found["data"].Health != cli.Bad {
		t.Errorf("a data folder below a file: %+v, %v; want fail", found["data"], err)
	}
}
