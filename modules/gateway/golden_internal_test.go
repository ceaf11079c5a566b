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
			comment, in := readGolden(t, file)
			var forwarded atomic.Pointer[string]
			b := newBed(t, pool, engine(t, scripted(in["upstream"], &forwarded)))
			if strings.Contains(in["request"], `"model":"fast"`) {
				b.alias(t, "fast", model)
			}
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
				rewrite(t, file, comment, out)
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

// readGolden reads a file in the txtar format: a comment, then parts that each
// begin with a line "-- name --".
func readGolden(t *testing.T, file string) (comment string, parts map[string]string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name, texts := "", map[string]*strings.Builder{"": {}}
	for line := range strings.Lines(string(data)) {
		if part, ok := strings.CutSuffix(line, " --\n"); ok && strings.HasPrefix(part, "-- ") {
			name = part[len("-- "):]
			texts[name] = &strings.Builder{}
			continue
		}
		texts[name].WriteString(line)
	}
	parts = map[string]string{}
	for name, text := range texts {
		parts[name] = text.String()
	}
	return parts[""], parts
}

func rewrite(t *testing.T, file, comment string, out map[string]string) {
	t.Helper()
	var all strings.Builder
	all.WriteString(comment)
	for _, name := range []string{"request", "upstream", "forwarded", "response", "usage"} {
		fmt.Fprintf(&all, "-- %s --\n%s\n", name, strings.TrimSuffix(out[name], "\n"))
	}
	if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
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
	res := b.ask(t, strings.TrimSpace(strings.TrimPrefix(first, "POST ")), string(body))
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
	said := text(t, res)
	if id := res.Header.Get("X-Request-Id"); id != "" {
		said = strings.ReplaceAll(said, id, "REQUEST-ID")
	}
	fmt.Fprintf(&out, "\n%s", said)
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
