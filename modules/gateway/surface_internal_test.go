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
	for _, path := range []string{"/v1", "//v1/chat/completions", "///v1/", "//rerank"} {
		if !Serves(path) {
			t.Errorf("%q is not the gateway's", path)
		}
	}
	for _, path := range []string{"//", "//v2", "/x//v1/", "/v2", "/v2/", "/v2/chat/completions", "/rerank/", "/scores", "/v10/rerank", "/", ""} {
		if Serves(path) {
			t.Errorf("%q is the gateway's", path)
		}
	}
}

// What is wrong with a translated request is said in the words that the client
// has used, whether we find it or the engine does.
func TestServe_errorsNameTheClientsOwnFields(t *testing.T) {
	t.Parallel()
	var says atomic.Pointer[string]
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, *says.Load())
	}))
	const items = `"input":[{"role":"user","content":"hi"},{"type":"function_call","call_id":"a","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"b","output":"x"}]`
	const turns = `"max_tokens":9,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"tool_use","id":"a","name":"f"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"b","content":"x"}]}]`
	const circle = `{"type":"object","properties":{"x":{"$ref":"#"}}}`
	for _, c := range []struct{ path, body, engine, want string }{
		{"/v1/responses", `"input":"x","max_output_tokens":0`, "", `"max_output_tokens must be a whole number from 1 to 10000000; it is 0.","type":"invalid_request_error","param":"max_output_tokens"`},
		{"/v1/responses", `"input":"x","tools":[{"type":"function","name":"f","parameters":` + circle + `}]`, "", `"param":"tools[0]"`},
		{"/v1/responses", items, `{"error":{"message":"messages[2].tool_call_id is of no call.","param":"messages[2].tool_call_id"}}`, `"input[2].call_id is of no call.","type":"invalid_request_error","param":"input[2].call_id"`},
		{"/v1/responses", items, `{"error":{"message":"Bad: messages[1].tool_calls[0].function.arguments; max_tokens too."}}`, `"Bad: input[1].arguments; max_output_tokens too."`},
		{"/v1/messages", turns, `{"error":{"message":"Look at messages.2.tool_call_id.","param":"messages.2.tool_call_id"}}`, `"Look at messages.2.content.0.tool_use_id. (upstream_rejected)"`},
		{"/v1/messages", turns, `{"error":{"message":"No JSON.","param":"messages[1].tool_calls[0].function.arguments"}}`, `"messages.1.content.1.input: No JSON. (upstream_rejected)"`},
		{"/v1/messages", turns + `,"tools":[{"name":"f","input_schema":` + circle + `}]`, "", `"tools.0: A $ref in a schema leads back to itself.`},
		{"/v1/messages/count_tokens", turns, `{"error":{"message":"messages[0].content is odd."}}`, `"messages.0.content is odd. (upstream_rejected)"`},
		{"/v1/chat/completions", `"messages":[{"role":"user","content":"x"}]`, `{"error":{"message":"messages[0].content is odd.","param":"messages[0].content"}}`, `"messages[0].content is odd.","type":"invalid_request_error","param":"messages[0].content"`},
	} {
		says.Store(&c.engine)
		res := b.ask(t, c.path, `{"model":"some/model",`+c.body+`}`)
		if got := text(t, res); res.StatusCode != http.StatusBadRequest || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %d %s, want %s", c.path, c.body, res.StatusCode, got, c.want)
		}
	}
}
