package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// code returns the code of an error answer and fails if it is not one of ours.
func code(t *testing.T, res reply) string {
	t.Helper()
	body := text(t, res)
	_, after, ok := strings.Cut(body, `"code":"`)
	code, _, _ := strings.Cut(after, `"`)
	if !ok || !strings.HasPrefix(body, `{"error":{"message":"`) || res.Header.Get("X-Request-Id") == "" || res.Header.Get("X-Should-Retry") == "" {
		t.Errorf("not an error of ours: %d %v %s", res.StatusCode, res.Header, body)
	}
	return code
}

func TestB01toB05_credentials(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	tests := []struct {
		name   string
		header http.Header
		status int
		code   string
		asks   int64 // of the key table
	}{
		{"B01 none", http.Header{}, 401, "missing_api_key", 0},
		{"B02 malformed", http.Header{"Authorization": {"Bearer ' OR 1=1 --"}}, 401, "malformed_api_key", 1},
		{"B02 basic", http.Header{"Authorization": {"Basic abc"}}, 401, "malformed_api_key", 0},
		{"B02 no scheme", http.Header{"Authorization": {goodKey}}, 401, "malformed_api_key", 0},
		{"B03 unknown", http.Header{"Authorization": {"Bearer sk-inv-unknown"}}, 401, "invalid_api_key", 1},
		{"B04 two keys", http.Header{"Authorization": {"Bearer " + goodKey}, "X-Api-Key": {adminKey}}, 400, "ambiguous_credentials", 0},
		{"B04 a key and something else", http.Header{"Authorization": {"Basic abc"}, "X-Api-Key": {goodKey}}, 400, "ambiguous_credentials", 0},
		{"B04 a header twice", http.Header{"X-Api-Key": {goodKey, goodKey}}, 400, "ambiguous_credentials", 0},
		{"B04 twice", http.Header{"Authorization": {"Bearer " + goodKey, "Bearer " + goodKey}}, 400, "ambiguous_credentials", 0},
		{"B05 disabled", http.Header{"Authorization": {"Bearer sk-inv-suspended"}}, 403, "key_disabled", 1},
		{"no scope", http.Header{"X-Api-Key": {adminKey}}, 403, "scope_missing", 1},
	}
	for _, tt := range tests { // one after the other: they count
		req := b.request(t, "/v1/chat/completions", chatBody(""))
		req.Header = tt.header
		req.Header.Set("Content-Type", "application/json")
		before := b.keys.asked.Load()
		res := b.send(t, req)
		if got := code(t, res); res.StatusCode != tt.status || got != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, res.StatusCode, got, tt.status, tt.code)
		}
		if got := b.keys.asked.Load() - before; got != tt.asks {
			t.Errorf("%s: the key table was asked %d times, want %d", tt.name, got, tt.asks)
		}
	}
	b.keys.away.Store(true)
	req := b.request(t, "/v1/chat/completions", chatBody(""))
	req.Header.Set("Authorization", "Bearer sk-inv-unknown")
	if res := b.send(t, req); res.StatusCode != http.StatusServiceUnavailable || code(t, res) != "auth_unavailable" || res.Header.Get("Retry-After") == "" {
		t.Errorf("database away, unknown key: %d %v", res.StatusCode, res.Header)
	}
	for name, header := range map[string]http.Header{
		"in X-API-Key":                 {"X-Api-Key": {goodKey}, "Content-Type": {"application/json; charset=utf-8"}},
		"two spaces, as RFC 9110 lets": {"Authorization": {"Bearer  " + goodKey}, "Content-Type": {"application/json"}},
		"in both, with two spaces":     {"X-Api-Key": {goodKey}, "Authorization": {"bearer  " + goodKey}, "Content-Type": {"application/json"}},
		"in both, as some SDKs send":   {"X-Api-Key": {goodKey}, "Authorization": {"Bearer " + goodKey}, "Content-Type": {"application/json"}},
	} {
		req = b.request(t, "/v1/chat/completions", chatBody(""))
		req.Header = header
		if res := b.send(t, req); res.StatusCode != http.StatusOK {
			t.Errorf("known key %s: %d", name, res.StatusCode)
		}
	}
}

func TestB07_contentTypes(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	for _, h := range []http.Header{
		{"Content-Type": {"text/plain"}}, {"Content-Type": {"application/x-www-form-urlencoded"}}, {},
		{"Content-Type": {"application/json; charset=utf-16"}},
		{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
	} {
		req := b.request(t, "/v1/chat/completions", chatBody(""))
		req.Header = h.Clone()
		req.Header.Set("Authorization", "Bearer "+goodKey)
		if res := b.send(t, req); res.StatusCode != http.StatusUnsupportedMediaType || code(t, res) != "unsupported_media_type" {
			t.Errorf("%v: %d", h, res.StatusCode)
		}
	}
}

func TestB08_tooLarge(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	big := strings.Repeat("x", 2<<20+1)
	for name, body := range map[string]io.Reader{"told": strings.NewReader(big), "endless": io.MultiReader(strings.NewReader(big), endless{})} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/chat/completions", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+goodKey)
		req.Header.Set("Content-Type", "application/json")
		res := b.send(t, req)
		if got := code(t, res); res.StatusCode != http.StatusRequestEntityTooLarge || got != "request_too_large" || !res.Close {
			t.Errorf("%s: %d %s, closed %v", name, res.StatusCode, got, res.Close)
		}
	}
	eventually(t, 5*time.Second, "no bytes are held", func() bool { return b.held.Load() == 0 })
	// A body of the limit passes; one that all others leave no room for does not.
	whole := chatBody(`"x":"` + strings.Repeat("x", 1<<20) + `",`)
	if res := b.ask(t, "/v1/chat/completions", whole); res.StatusCode != http.StatusOK {
		t.Errorf("1 MiB: %d", res.StatusCode)
	}
	b.held.Add(b.limits.held - 1<<20)
	if res := b.ask(t, "/v1/chat/completions", whole); res.StatusCode != http.StatusServiceUnavailable || code(t, res) != "gateway_busy" {
		t.Errorf("no room: %d", res.StatusCode)
	}
}

func TestB08_manyEmptyPieces(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	zeros := strings.Repeat("0,", 100_000) + "0"
	for path, body := range map[string]string{
		"/v1/messages":               `{"model":"some/model","max_tokens":1,"messages":[{"role":"user","content":[` + zeros + `]}]}`,
		"/v1/messages/count_tokens":  `{"model":"some/model","messages":[` + zeros + `]}`,
		"/v1/responses":              `{"model":"some/model","input":[` + zeros + `]}`,
		"/v1/responses/input_tokens": `{"model":"some/model","input":[` + zeros + `]}`,
	} {
		if res := b.ask(t, path, body); res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// An answer in OpenAI's newer API is repeated at its end; in Anthropic's a tool
// call waits for the one before it. What is kept for that counts, as what is kept
// of the request does.
func TestB08_keptOfAStream(t *testing.T) {
	t.Parallel()
	chunk := func(delta string) string {
		return `data: {"id":"c","created":1,"model":"some/model","choices":[{"index":0,"delta":` + delta + `}]}` + "\n\n"
	}
	long := strings.Repeat("x", 20<<10)
	for path, c := range map[string]struct{ body, stream, whole string }{
		"/v1/responses": {`"input":"x"`, strings.Repeat(chunk(`{"content":"`+long+`"}`), 10), "response.completed"},
		"/v1/messages": {
			`"max_tokens":9,"messages":[{"role":"user","content":"x"}]`,
			chunk(`{"content":"begun"}`) + chunk(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},{"index":1,"id":"b","function":{"name":"f"}}]}`) +
				strings.Repeat(chunk(`{"tool_calls":[{"index":1,"function":{"arguments":"`+long+`"}}]}`), 10),
			"message_stop",
		},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, dbtest.New(t), answering(t, 200, "text/event-stream", c.stream+"data: [DONE]\n\n"))
			ask := func() string {
				res := b.ask(t, path, `{"model":"some/model","stream":true,`+c.body+`}`)
				text, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			if got := ask(); !strings.Contains(got, c.whole) {
				t.Errorf("with room: %.300s", got)
			}
			eventually(t, 5*time.Second, "no bytes are held", func() bool { return b.held.Load() == 0 })
			b.held.Add(b.limits.held - 200<<10)
			if got := ask(); strings.Contains(got, c.whole) || !strings.Contains(got, "gateway_busy") {
				t.Errorf("without room: %.300s", got)
			}
			eventually(t, 5*time.Second, "no bytes are held", func() bool { return b.held.Load() == b.limits.held-200<<10 })
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestB18_paths(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t)) // nothing could be forwarded to
	for line, want := range map[string]int{
		"GET /v1/models":                          200,
		"HEAD /v1/models":                         200,
		"POST /v1/models":                         405,
		"GET /v1/chat/completions":                405,
		"TRACE /v1/chat/completions":              405,
		"OPTIONS /v1/chat/completions":            405,
		"POST /v1//chat/completions":              404,
		"POST /v1/chat//completions":              404,
		"POST /v1/chat/completions/":              404,
		"POST /v1/%2e%2e/admin":                   404,
		"POST /v1/../admin":                       404,
		"POST /v1/chat%2Fcompletions":             404,
		"POST /v1/chat/completions;a=b":           404,
		"POST /v1/invocations":                    404,
		"POST /v1":                                404,
		"POST /v2%2Frerank":                       404,
		"GET /v2/rerank":                          405,
		"POST /v1/":                               404,
		"POST /V1/chat/completions":               404,
		"POST http://evil/v1/chat/completions":    400,
		"CONNECT evil:443":                        400,
		"GET /v1/models/nope":                     404,
		"GET /v1/models/../../etc/passwd":         404,
		"POST /v1/chat/completions HTTP/1.1\r\nX": 400,
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", line, goodKey)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", line, res.StatusCode, want)
		}
		allow := map[bool]string{true: "GET, HEAD", false: "POST"}[strings.Contains(line, "/models")]
		if got := res.Header.Get("Allow"); want == http.StatusMethodNotAllowed && got != allow {
			t.Errorf("%s: allowed are %q, want %q", line, got, allow)
		}
		_, _ = res.Body.Close(), conn.Close()
	}
}

func TestB18_smuggling(t *testing.T) {
	t.Parallel()
	var forwarded atomic.Int64
	b := newBed(t, dbtest.New(t), engine(t, func(http.ResponseWriter, *http.Request) { forwarded.Add(1) }))
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	hidden := chatBody("")
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s\r\n\r\n", goodKey, len(hidden), hidden)
	answers := bufio.NewReader(conn)
	for _, what := range []string{"the empty body", "what looks like a second request"} {
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %d, want 400", what, res.StatusCode)
		}
		_ = res.Body.Close()
	}
	if forwarded.Load() != 0 {
		t.Error("something was forwarded")
	}
}

func TestModels_B10_tellsTheSleepingApart(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	b.instances.sleeping = []Sleeping{{Organisation: b.organisation, Model: "asleep", State: "provisioning"}, {Organisation: b.organisation, Model: model}}
	if _, err := b.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		req := b.request(t, path, "")
		req.Method = http.MethodGet
		return text(t, b.send(t, req))
	}
	want := `{"data":[{"id":"asleep","object":"model","created":0,"owned_by":"inventiv","state":"sleeping"},` +
		`{"id":"some/model","object":"model","created":0,"owned_by":"inventiv","state":"ready"}],"object":"list"}`
	if diff := cmp.Diff(want, get("/v1/models")); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{"/v1/models/some/model", "/v1/models/some%2Fmodel"} {
		if got := get(path); !strings.HasPrefix(got, `{"id":"some/model"`) {
			t.Errorf("%s: %s", path, got)
		}
	}
	res := b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "asleep", 1))
	if res.StatusCode != http.StatusServiceUnavailable || code(t, res) != "no_ready_replica" || res.Header.Get("Retry-After") != "10" {
		t.Errorf("B10 asleep: %d %v", res.StatusCode, res.Header)
	}
}

func TestServe_beforeTheFirstRoutes(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusServiceUnavailable || code(t, res) != "starting" {
		t.Errorf("got %d", res.StatusCode)
	}
}
