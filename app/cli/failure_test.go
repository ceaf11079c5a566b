package cli_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/app/cli"
)

// A key that was copied with what stands around it is no server that is away.
func TestB42_keysThatCannotBeSent(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{})
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("sk-inv-secret\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{
		"INVENTIV_API_KEY=sk-inv-secret\n", "INVENTIV_API_KEY=sk-inv-\nsecret", "INVENTIV_API_KEY=sk-inv-secret\r", "INVENTIV_API_KEY= sk-inv-secret",
		"INVENTIV_API_KEY=sk-inv-\x00secret", "INVENTIV_API_KEY=“sk-inv-secret”", "INVENTIV_API_KEY_FILE=" + file,
	} {
		r := run(t, s.URL, "keys list", func(c *cli.Config) { c.Environ = []string{"INVENTIV_URL=" + s.URL, "HOME=/nowhere", given} })
		if r.exit != 3 || !strings.Contains(r.err, "code: malformed_api_key") || !strings.Contains(r.err, "in one line") || r.out != "" {
			t.Errorf("%q: exit %d, %s%s; want 3 and what to do", given, r.exit, r.out, r.err)
		}
	}
	if len(s.seen) != 0 {
		t.Errorf("the server was asked: %q", s.seen)
	}
}

func TestB42_failuresAsJSON(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{})
	r := run(t, s.URL, "deployments get x -o json")
	var got map[string]any
	if err := json.Unmarshal([]byte(r.err), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"error": "There is no such thing.", "fix": "Look.", "code": "not_found", "request": "req-1", "exit_code": 4.0}
	if diff := cmp.Diff(want, got); diff != "" || r.exit != 4 {
		t.Errorf("exit %d (-want +got)\n%s", r.exit, diff)
	}
}

func TestB42_noNetworkNoTrustNoAnswer(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	ctx, release := context.WithCancel(t.Context())
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ctx.Done():
		case <-r.Context().Done():
		}
	}))
	defer stuck.Close()
	defer release()
	elsewhere := httptest.NewServer(http.RedirectHandler(gone.URL, http.StatusFound))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		url, line string
		exit      int
		code      string
	}{
		"nobody listens": {gone.URL, "nodes list", 8, "code: unreachable"},
		"no such host":   {"http://no-such-host.invalid", "nodes list", 8, "code: unreachable"},
		"unknown CA":     {secure.URL, "nodes list", 8, "code: tls"},
		"no answer":      {stuck.URL, "nodes list --timeout 1s", 7, "code: timeout"},
		"redirect":       {elsewhere.URL, "nodes list", 8, "code: bad_answer"},
		"not an address": {"::", "nodes list", 2, "INVENTIV_URL"},
	} {
		r := run(t, c.url, c.line)
		if r.exit != c.exit || !strings.Contains(r.err, c.code) || !strings.Contains(r.err, "fix: ") {
			t.Errorf("%s: exit %d\n%swant exit %d and %q", name, r.exit, r.err, c.exit, c.code)
		}
	}
}

// broken is a pipe whose reader has gone.
type broken struct{}

func (broken) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestB43_pipesDisksAndInterrupts(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET /deployments": items(chat), "GET /usage/records?limit=1000": `200 {"items":[` + record + `],"next_cursor":"c1"}`,
		"POST /deployments": "201 " + strings.Replace(chat, `"ready":1`, `"ready":0`, 1), "GET /deployments/chat": "200 " + strings.Replace(chat, `"ready":1`, `"ready":0`, 1),
		"GET /instances?deployment=chat": items(),
	})
	for _, line := range []string{"deployments list", "deployments list -o json", "usage records", "usage records -o json"} {
		if r := run(t, s.URL, line, func(c *cli.Config) { c.Stdout = broken{} }); r.exit != 0 || r.err != "" {
			t.Errorf("%s into a closed pipe: exit %d, %q; want 0 and silence", line, r.exit, r.err)
		}
	}
	for _, line := range []string{"deployments list", "deployments list -o json", "usage records"} {
		if r := run(t, s.URL, line, func(c *cli.Config) { c.Stdout = full{} }); r.exit != 1 || !strings.Contains(r.err, "no space left") {
			t.Errorf("%s onto a full disk: exit %d, %q; want 1 and why", line, r.exit, r.err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, stop)
	r := runIn(t, ctx, s.URL, "deployments create chat --model m --offer a/b/c --wait")
	if r.exit != 1 || !strings.Contains(r.err, "code: interrupted") || !strings.Contains(r.err, "fix: It goes on") && !strings.Contains(r.err, "goes on there") {
		t.Errorf("interrupted: exit %d, %s; want 1 and that it goes on", r.exit, r.err)
	}
}
