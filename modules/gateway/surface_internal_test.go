package gateway

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// Anthropic's SDK reads a list of its own shape, and errors of it.
func TestModels_asAnthropicsClientsKnowThem(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	b.alias(t, "fast", model)
	get := func(path, version string) (reply, string) {
		req := b.request(t, path, "")
		req.Method = http.MethodGet
		req.Header.Set("Anthropic-Version", version)
		res := b.send(t, req)
		return res, text(t, res)
	}
	entry := func(id, more string) string {
		return `{"type":"model","id":"` + id + `","display_name":"` + id + `","created_at":"1970-01-01T00:00:00Z","lifecycle":"active","max_input_tokens":null,"max_tokens":null,"capabilities":null,"line":null,"deprecated_at":null,"retires_at":null,"state":"ready"` + more + `}`
	}
	own, other := entry("some/model", ""), entry("fast", `,"alias_of":"some/model"`)
	for path, want := range map[string]string{
		"/v1/models":                        `{"data":[` + other + `,` + own + `],"has_more":false,"first_id":"fast","last_id":"some/model"}`,
		"/v1/models?limit=1":                `{"data":[` + other + `],"has_more":true,"first_id":"fast","last_id":"fast"}`,
		"/v1/models?limit=1&after_id=fast":  `{"data":[` + own + `],"has_more":false,"first_id":"some/model","last_id":"some/model"}`,
		"/v1/models?after_id=gone":          `{"data":[` + own + `],"has_more":false,"first_id":"some/model","last_id":"some/model"}`,
		"/v1/models?limit=1&before_id=zone": `{"data":[` + own + `],"has_more":true,"first_id":"some/model","last_id":"some/model"}`,
		"/v1/models?before_id=some/model":   `{"data":[` + other + `],"has_more":false,"first_id":"fast","last_id":"fast"}`,
		"/v1/models?before_id=fast":         `{"data":[],"has_more":false,"first_id":null,"last_id":null}`,
		"/v1/models?before_id=a&after_id=b": `{"data":[],"has_more":false,"first_id":null,"last_id":null}`,
		"/v1/models/some%2Fmodel":           own,
		"/v1/models/fast":                   other,
	} {
		if res, got := get(path, "2023-06-01"); got != want || res.Header.Get("Request-Id") == "" || res.Header.Get("Request-Id") != res.Header.Get("X-Request-Id") {
			t.Errorf("%s: %v\n got %s\nwant %s", path, res.Header, got, want)
		}
	}
	for _, c := range []struct {
		path, version, kind string
		status              int
	}{
		{"/v1/models/nope", "2023-06-01", "not_found_error", 404},
		{"/v1/models?limit=0", "2023-06-01", "invalid_request_error", 400},
		{"/v1/models?limit=many", "2023-06-01", "invalid_request_error", 400},
		{"/v1/models", "2020-01-01", "invalid_request_error", 400},
		{"/v1/messages/batches", "2023-06-01", "not_found_error", 404},
	} {
		if res, got := get(c.path, c.version); res.StatusCode != c.status || !strings.HasPrefix(got, `{"type":"error","error":{"type":"`+c.kind+`"`) {
			t.Errorf("%s: %d %s", c.path, res.StatusCode, got)
		}
	}
}

func TestServe_theSamePathsAsVLLM(t *testing.T) {
	t.Parallel()
	var asked atomic.Pointer[string]
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(&r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","usage":{"prompt_tokens":3,"total_tokens":3}}`)
	}))
	for path, c := range map[string]struct{ body, engines string }{
		"/v2/rerank":  {`"query":"q","documents":["d"]`, "/v1/rerank"},
		"/rerank":     {`"query":"q","documents":["d"]`, "/v1/rerank"},
		"/score":      {`"text_1":"a","text_2":"b"`, "/v1/score"},
		"/tokenize":   {`"prompt":"a"`, "/tokenize"},
		"/detokenize": {`"tokens":[1]`, "/detokenize"},
	} {
		res := b.ask(t, path, `{"model":"some/model",`+c.body+`}`)
		if got := text(t, res); res.StatusCode != http.StatusOK || *asked.Load() != c.engines || !Serves(path) {
			t.Errorf("%s: %d %s; the engine was asked for %s", path, res.StatusCode, got, *asked.Load())
		}
		if res := b.ask(t, path, `{"model":"nope",`+c.body+`}`); res.StatusCode != http.StatusNotFound || code(t, res) != "model_not_found" {
			t.Errorf("%s: another model is %d", path, res.StatusCode)
		}
	}
	for _, r := range b.stored(t) {
		if !slices.Contains(Paths(), r.Path) {
			t.Errorf("recorded is %s", r.Path)
		}
	}
	for _, path := range []string{"/v2", "/v2/", "/v2/chat/completions", "/rerank/", "/scores", "/v10/rerank", "/", ""} {
		if Serves(path) {
			t.Errorf("%q is the gateway's", path)
		}
	}
}
