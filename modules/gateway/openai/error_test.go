package openai_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

func TestWrite_alwaysSaysWhetherToRetry(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	(&openai.Error{Status: 503, Type: openai.ServerError, Code: "no_ready_replica", Message: "Nothing serves \"m\" <yet>.", Retry: true, RetryAfter: 1200 * time.Millisecond}).Write(w, "req-1")
	want := `{"error":{"message":"Nothing serves \"m\" \u003cyet\u003e.","type":"server_error","param":null,"code":"no_ready_replica"}}`
	if w.Code != 503 || w.Body.String() != want {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for name, value := range map[string]string{"X-Request-Id": "req-1", "X-Should-Retry": "true", "Retry-After": "2", "Content-Type": "application/json"} {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}

	w = httptest.NewRecorder()
	e := &openai.Error{Status: 400, Type: openai.InvalidRequest, Code: "invalid_value", Param: "n", Message: "m"}
	e.Write(w, "req-2")
	if w.Header().Get("X-Should-Retry") != "false" || w.Header().Values("Retry-After") != nil || !strings.Contains(w.Body.String(), `"param":"n"`) {
		t.Errorf("got %v %s", w.Header(), w.Body)
	}
	if got := string(e.Event()); got != "data: "+w.Body.String()+"\n\n" {
		t.Errorf("Event = %q", got)
	}
}

func TestJSON_isWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "plain, with `ticks` and 'these'", "\"", `\`, "<a&b>", "é and \u2028", "\x7f", "\x00\n", "half a rune \xc3"} {
		type detail struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    *string `json:"code"`
		}
		body := map[string]detail{"error": {Message: text, Type: text}}
		if text != "" {
			body["error"] = detail{text, text, &text, &text}
		}
		want, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&openai.Error{Message: text, Type: text, Param: text, Code: text}).JSON(); string(got) != string(want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestUpstreamError_keepsWhatTheEngineSays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		status     int
		after      string
		want       openai.Error
	}{
		{"OpenAI's shape", `{"error":{"message":"bad","type":"BadRequestError","param":"n","code":"x"}}`, 400, "", openai.Error{Status: 400, Type: "BadRequestError", Code: "x", Param: "n", Message: "bad"}},
		{"vLLM's shape", `{"object":"error","message":"This model's maximum context length is 10 tokens.","type":"BadRequestError","param":null,"code":400}`, 400, "", openai.Error{Status: 400, Type: "BadRequestError", Code: "context_length_exceeded", Message: "This model's maximum context length is 10 tokens."}},
		{"code a number", `{"error":{"message":"bad","code":400}}`, 400, "", openai.Error{Status: 400, Type: openai.InvalidRequest, Code: "upstream_rejected", Message: "bad"}},
		{"a bare string", `{"error":"overloaded"}`, 429, "7", openai.Error{Status: 429, Type: openai.InvalidRequest, Code: "upstream_overloaded", Message: "overloaded", Retry: true, RetryAfter: 7 * time.Second}},
		{"FastAPI's detail", `{"detail":[{"loc":["body"],"msg":"field required"}]}`, 422, "", openai.Error{Status: 422, Type: openai.InvalidRequest, Code: "upstream_rejected", Message: `[{"loc":["body"],"msg":"field required"}]`}},
		{"FastAPI's words", `{"detail":"Not Found"}`, 404, "", openai.Error{Status: 404, Type: openai.InvalidRequest, Code: "upstream_rejected", Message: "Not Found"}},
		{"HTML", `<html><h1>Internal Server Error</h1></html>`, 500, "soon", openai.Error{Status: 500, Type: openai.ServerError, Code: "upstream_error", Message: "The model's server answered with status 500 and no message.", Retry: true}},
		{"nothing", ``, 503, "-1", openai.Error{Status: 503, Type: openai.ServerError, Code: "upstream_error", Message: "The model's server answered with status 503 and no message.", Retry: true}},
		{"our key refused", `{"error":{"message":"invalid key sk-secret"}}`, 401, "", openai.Error{Status: 502, Type: openai.ServerError, Code: "upstream_refused", Message: "The model's server refused the gateway's credentials; an administrator must correct the endpoint's key."}},
		{"an object of another shape", `{"error":{"message":{"x":1}}}`, 500, "", openai.Error{Status: 500, Type: openai.ServerError, Code: "upstream_error", Message: "The model's server answered with status 500 and no message.", Retry: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(&tt.want, openai.UpstreamError(tt.status, tt.after, []byte(tt.body))); diff != "" {
				t.Error(diff)
			}
		})
	}
	long := openai.UpstreamError(500, "", []byte(`{"error":"`+strings.Repeat("é", 9000)+`"}`))
	if len(long.Message) > 5000 || strings.ContainsRune(long.Message, '\uFFFD') {
		t.Errorf("a message of %d bytes is passed on", len(long.Message))
	}
}

// Whichever engine refuses a prompt that is too long, the client is told so by
// the code that it knows, with the counts that the engine names.
func TestUpstreamError_B15_contextLengthExceeded(t *testing.T) {
	t.Parallel()
	for engine, body := range map[string]string{
		"vLLM":      `{"error":{"message":"This model's maximum context length is 2048 tokens. However, you requested 4000 tokens (3000 in the messages, 1000 in the completion).","type":"BadRequestError","param":null,"code":400}}`,
		"older":     `{"object":"error","message":"This model's maximum context length is 2048 tokens. However, you requested 4000 tokens.","type":"BadRequestError","param":null,"code":400}`,
		"SGLang":    `{"object":"error","message":"The input (4000 tokens) is longer than the model's context length (2048 tokens).","type":"BadRequestError","param":null,"code":400}`,
		"llama.cpp": `{"error":{"code":400,"message":"the request exceeds the available context size (2048 tokens), asked for 4000, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":4000,"n_ctx":2048}}`,
	} {
		e := openai.UpstreamError(400, "", []byte(body))
		if e.Status != 400 || e.Code != "context_length_exceeded" || e.Retry || !strings.Contains(e.Message, "2048") || !strings.Contains(e.Message, "4000") {
			t.Errorf("%s: %+v", engine, e)
		}
	}
	other := `{"error":{"message":"temperature must be non-negative","type":"BadRequestError","code":400}}`
	if e := openai.UpstreamError(400, "", []byte(other)); e.Code != "upstream_rejected" {
		t.Errorf("another refusal is %s", e.Code)
	}
}
