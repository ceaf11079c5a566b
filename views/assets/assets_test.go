package assets_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/views/assets"
)

var names = []string{"console.css", "console.js", "playground.js", "inter.woff2", "icon.svg"}

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	assets.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) []byte {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHandler_servesEveryAssetForEver(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		path := assets.Path(name)
		if !regexp.MustCompile(`^/assets/[a-z]+-[0-9a-f]{10}\.[a-z0-9]+$`).MatchString(path) {
			t.Errorf("path %q carries no hash", path)
		}
		plain := get(t, path)
		if cc := plain.Header.Get("Cache-Control"); !strings.Contains(cc, "immutable") {
			t.Errorf("%s: Cache-Control %q", name, cc)
		}
		if plain.StatusCode != http.StatusOK || plain.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %q", name, plain.StatusCode, plain.Header.Get("Content-Encoding"))
		}
		want := body(t, plain)
		if dir := os.Getenv("INVENTIV_PREVIEW"); dir != "" {
			preview(t, dir, path, want)
		}
		if name == "inter.woff2" {
			continue // compressed already
		}
		zipped := get(t, path, "Accept-Encoding", "br, gzip;q=0.8")
		if zipped.Header.Get("Content-Encoding") != "gzip" || zipped.Header.Get("Vary") == "" {
			t.Fatalf("%s is not served compressed", name)
		}
		r, err := gzip.NewReader(bytes.NewReader(body(t, zipped)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: compressed and plain differ (%v)", name, err)
		}
	}
}

func preview(t *testing.T, dir, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "assets"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, path), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestHandler_refusesWhatItDoesNotHave(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/assets/console.css", "/assets/", "/assets/console-0000000000.css", "console.css", "/assets/../assets.go"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path = path
		w := httptest.NewRecorder()
		assets.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, assets.Path("console.css"), nil)
	w := httptest.NewRecorder()
	assets.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", w.Code)
	}
}

func TestHandler_honoursARefusalOfGzip(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"gzip;q=0", "identity", "gzip; q=0.000", "br"} {
		res := get(t, assets.Path("console.css"), "Accept-Encoding", header)
		body(t, res)
		if ce := res.Header.Get("Content-Encoding"); ce != "" {
			t.Errorf("Accept-Encoding %q got %q", header, ce)
		}
	}
}

// weight is what an asset costs on the wire.
func weight(t *testing.T, name string) int {
	t.Helper()
	res := get(t, assets.Path(name), "Accept-Encoding", "gzip")
	defer res.Body.Close()
	return len(body(t, res))
}

// TestWeight_scriptsAndStylesFitTheBudget holds what a browser must load to
// 120 kB compressed; the console needs far less.
func TestWeight_scriptsAndStylesFitTheBudget(t *testing.T) {
	t.Parallel()
	total := 0
	for _, name := range names {
		if strings.HasSuffix(name, ".css") || strings.HasSuffix(name, ".js") {
			n := weight(t, name)
			t.Logf("%s: %d bytes", name, n)
			total += n
		}
	}
	if total > 120_000 {
		t.Errorf("%d bytes compressed, want at most 120,000", total)
	}
}

// TestScripts_keepTheContentSecurityPolicy refuses what the policy would block.
func TestScripts_keepTheContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"js/console.js", "js/markdown.js", "js/playground.js"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function", "document.write", ".style.", "http://", "https://"} {
			if bytes.Contains(b, []byte(bad)) {
				t.Errorf("%s contains %q", file, bad)
			}
		}
	}
}
