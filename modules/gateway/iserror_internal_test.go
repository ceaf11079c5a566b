package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// TestB36_anErrorWithAGoodStatusIsNoAnswer asks engines that say 200 and then
// that they have failed, streamed or not.
func TestB36_anErrorWithAGoodStatusIsNoAnswer(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	const (
		plain = `{"error":{"message":"out of memory"}}`
		whole = `{"choices":[],"error":{"message":"out of memory","code":500},"usage":{"prompt_tokens":5,"completion_tokens":1}}`
		busy  = `{"error":{"message":"too many","type":"x","code":429}}`
		long  = `{"error":{"message":"This model's maximum context length is 9 tokens.","type":"BadRequestError","code":400}}`
		wrong = `{"error":{"message":"no","type":"invalid_request_error","param":"top_p","code":null}}`
		key   = `{"error":{"message":"bad key sk-123","code":"401"}}`
	)
	chat, said := chatBody(""), `"message":"out of memory","type":"server_error","param":null,"code":"upstream_error"`
	messages := `{"model":"` + model + `","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	responses := `{"model":"` + model + `","input":"hi"}`
	for name, c := range map[string]struct {
		path, body, answer string
		status             int
		want               string
	}{
		"chat":                   {"/v1/chat/completions", chat, plain, 502, said},
		"with usage":             {"/v1/chat/completions", chat, whole, 500, said},
		"a text":                 {"/v1/chat/completions", chat, `{"error":"out of memory"}`, 502, said},
		"its status":             {"/v1/chat/completions", chat, busy, 429, `"too many","type":"x","param":null,"code":"upstream_overloaded"`},
		"too long":               {"/v1/chat/completions", chat, long, 400, `"code":"context_length_exceeded"`},
		"its type":               {"/v1/chat/completions", chat, wrong, 400, `"param":"top_p","code":"upstream_rejected"`},
		"the operator's key":     {"/v1/chat/completions", chat, key, 502, `"code":"upstream_refused"`},
		"asked to stream":        {"/v1/chat/completions", chatBody(`"stream":true,`), busy, 429, `"too many","type":"x","param":null,"code":"upstream_overloaded"`},
		"completions":            {"/v1/completions", `{"model":"` + model + `","prompt":"hi"}`, plain, 502, said},
		"embeddings":             {"/v1/embeddings", `{"model":"` + model + `","input":"hi"}`, plain, 502, said},
		"rerank":                 {"/v1/rerank", `{"model":"` + model + `","query":"q","documents":["d"]}`, `{"error":{"message":"none","code":404}}`, 404, `"code":"not_served_by_engine"`},
		"responses":              {"/v1/responses", responses, plain, 502, said},
		"messages":               {"/v1/messages", messages, plain, 502, `{"type":"error","error":{"type":"api_error","message":"out of memory (upstream_error)"}`},
		"messages, its status":   {"/v1/messages", messages, `{"error":{"message":"later","code":503}}`, 529, `"overloaded_error","message":"later (upstream_error)"`},
		"messages, in own words": {"/v1/messages", messages, `{"error":{"message":"messages[0].content is odd","code":400}}`, 400, `messages.0.content is odd`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, pool, engine(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, c.answer)
			}))
			res := b.ask(t, c.path, c.body)
			got := text(t, res)
			if res.StatusCode != c.status || !strings.Contains(got, c.want) || strings.Contains(got, "sk-123") || res.Header.Get("X-Request-Id") == "" || res.Header.Get("X-Should-Retry") == "" {
				t.Errorf("%d %v %s; want %d %s", res.StatusCode, res.Header, got, c.status, c.want)
			}
			list := b.stored(t)
			if len(list) != 1 {
				t.Fatalf("recorded %+v", list)
			}
			if r := list[0]; r.Status != "interrupted" || r.Error != "upstream_error" || r.HTTPStatus != c.status || r.PromptTokens+r.CompletionTokens != 0 || r.Cost != 0 {
				t.Errorf("recorded %+v", r)
			}
		})
	}
}

// An engine that says so with a good status is tried elsewhere like one that says
// so with a bad one.
func TestServe_anotherReplicaIsAskedWhenOneIsUnavailableWithAGoodStatus(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	full := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if asked.Add(1) == 1 {
			_, _ = io.WriteString(w, `{"error":{"message":"full","code":503}}`)
			return
		}
		_, _ = io.WriteString(w, wholeAnswer)
	}
	b := newBed(t, dbtest.New(t), engine(t, full), engine(t, full))
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK || text(t, res) != wholeAnswer {
		t.Errorf("%d", res.StatusCode)
	}
	if list := b.stored(t); len(list) != 1 || list[0].Status != "completed" || !list[0].Retried || asked.Load() != 2 {
		t.Errorf("recorded %+v after %d attempts", list, asked.Load())
	}
}
