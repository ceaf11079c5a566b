package gateway

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

var update = flag.Bool("update", false, "rewrite the golden files with what happens")

// TestGolden sends the request of each file of testdata through the gateway.
// The upstream answers what the file says, and dies after it if its first line
// ends in "cut". What it was sent, what the client got and what was metered are
// compared with the file; -update writes them.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	pool := dbtest.New(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			golden, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := map[string]string{}
			for _, f := range golden.Files {
				in[f.Name] = string(f.Data)
			}
			var forwarded atomic.Pointer[string]
			b := newBed(t, pool, upstream(t, scripted(in["upstream"], &forwarded)))
			out := map[string]string{
				"request": in["request"], "upstream": in["upstream"],
				"response": exchangeOf(t, b, in["request"]),
				"usage":    usageOf(t, b),
			}
			out["forwarded"] = "nothing\n"
			if f := forwarded.Load(); f != nil {
				out["forwarded"] = *f + "\n"
			}
			if *update {
				rewrite(t, file, golden.Comment, out)
				return
			}
			for _, name := range []string{"forwarded", "response", "usage"} {
				if out[name] != in[name] {
					t.Errorf("%s\n got: %s\nwant: %s", name, out[name], in[name])
				}
			}
		})
	}
}

func rewrite(t *testing.T, file string, comment []byte, out map[string]string) {
	t.Helper()
	golden := &txtar.Archive{Comment: comment}
	for _, name := range []string{"request", "upstream", "forwarded", "response", "usage"} {
		golden.Files = append(golden.Files, txtar.File{Name: name, Data: []byte(out[name])})
	}
	if err := os.WriteFile(file, txtar.Format(golden), 0o600); err != nil {
		t.Fatal(err)
	}
}

// scripted answers as a file's upstream says: a line with status, content type
// and perhaps "cut", header lines, an empty line, and the body.
func scripted(script string, forwarded *atomic.Pointer[string]) http.HandlerFunc {
	head, body, _ := strings.Cut(script, "\n\n")
	first, headers, _ := strings.Cut(head, "\n")
	if !strings.HasSuffix(body, "\n\n") {
		body = strings.TrimSuffix(body, "\n") // the file's own
	}
	return func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		text := string(sent)
		forwarded.Store(&text)
		var status int
		var kind, cut string
		_, _ = fmt.Sscan(first, &status, &kind, &cut)
		for line := range strings.Lines(headers) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
				w.Header().Set(name, value)
			}
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		if cut == "cut" {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
}

// exchangeOf sends a file's request and writes down what comes back.
func exchangeOf(t *testing.T, b *bed, request string) string {
	t.Helper()
	r := bufio.NewReader(strings.NewReader("POST " + strings.TrimSuffix(request, "\n")))
	first, _ := r.ReadString('\n')
	body, _ := io.ReadAll(r)
	res := b.ask(t, strings.TrimSpace(strings.TrimPrefix(first, "POST ")), string(body)) //nolint:bodyclose // closed by ask
	var out bytes.Buffer
	fmt.Fprintln(&out, res.StatusCode, res.Header.Get("Content-Type"))
	for _, name := range []string{"Retry-After", "X-Should-Retry", "Set-Cookie", "Location"} {
		if v := res.Header.Get(name); v != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, v)
		}
	}
	if res.Header.Get("X-Request-Id") == "" {
		fmt.Fprintln(&out, "no X-Request-Id")
	}
	fmt.Fprintf(&out, "\n%s", text(t, res))
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func usageOf(t *testing.T, b *bed) string {
	t.Helper()
	var out strings.Builder
	for _, r := range b.stored(t) {
		fmt.Fprintf(&out, "%s status=%d error=%q source=%s prompt=%d completion=%d cached=%d cost=%s streamed=%v\n",
			r.Status, r.HTTPStatus, r.Error, r.UsageSource, r.PromptTokens, r.CompletionTokens, r.CachedTokens, r.Cost, r.Streamed)
	}
	if out.Len() == 0 {
		return "nothing\n"
	}
	return out.String()
}
