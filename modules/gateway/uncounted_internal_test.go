package gateway

import (
	"io"
	"net/http"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// TestB36_anAnswerWithoutUsageIsCountedByUs asks engines that do not say what a
// whole answer took, or say what cannot be.
func TestB36_anAnswerWithoutUsageIsCountedByUs(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	choice := `{"choices":[{"index":0,"message":{"role":"assistant","content":"ten bytes!"}}]`
	embed := `{"model":"` + model + `","input":"What?"}`
	for name, c := range map[string]struct {
		path, body, answer string
		completion         int64
		counted            bool
	}{
		"chat":               {"/v1/chat/completions", chatBody(""), choice + `}`, 3, true},
		"usage that can not": {"/v1/chat/completions", chatBody(""), choice + `,"usage":{"prompt_tokens":-5,"completion_tokens":-1}}`, 3, true},
		"translated":         {"/v1/responses", `{"model":"` + model + `","input":"What?"}`, choice + `}`, 3, true},
		"embedding":          {"/v1/embeddings", embed, `{"data":[{"embedding":[0.5]}]}`, 0, true},
		"no answer":          {"/v1/chat/completions", chatBody(""), `{"choices":[]}`, 0, false},
		"nothing to count":   {"/v1/tokenize", `{"model":"` + model + `","prompt":"What?"}`, `{"count":1,"tokens":[1]}`, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, pool, engine(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, c.answer)
			}))
			if res := b.ask(t, c.path, c.body); res.StatusCode != http.StatusOK {
				t.Fatalf("%d: %s", res.StatusCode, text(t, res))
			}
			list := b.stored(t)
			if len(list) != 1 || list[0].CompletionTokens != c.completion || list[0].PromptTokens > 0 != c.counted {
				t.Errorf("recorded %+v; want %d tokens written, a prompt: %v", list, c.completion, c.counted)
			}
		})
	}
}
