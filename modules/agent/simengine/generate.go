package simengine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// usage counts tokens as vLLM reports them.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// asks is the field of a request that says what is wanted.
var asks = map[kind]string{chat: "messages", completion: "prompt", embedding: "input", rerank: "query", score: "text_1"} //nolint:gochecknoglobals // a table

// serve answers an inference request that has a slot.
func (e *Engine) serve(w http.ResponseWriter, r *http.Request, k kind, q *request, fault wire.SimFault) {
	asked, prompt := q.prompt(k)
	switch k {
	case tokenize:
		e.tokenize(w, q, prompt)
		return
	case detokenize:
		e.detokenize(w, q)
		return
	case chat, completion, embedding, rerank, score:
	}
	if prompt == 0 {
		refuse(w, http.StatusBadRequest, "BadRequestError", asks[k], "There is nothing to answer.")
		return
	}
	limit := e.spec.MaxModelLen - prompt
	if limit <= 0 {
		refuse(w, http.StatusBadRequest, "BadRequestError", asks[k],
			fmt.Sprintf("This model's maximum context length is %d tokens; the request has %d.", e.spec.MaxModelLen, prompt))
		return
	}
	for _, n := range []*int{q.MaxTokens, q.MaxCompletionTokens} {
		if n != nil && *n < limit {
			limit = *n
		}
	}
	e.metrics.prompt.Add(int64(prompt))
	switch k {
	case embedding:
		e.embed(w, q, prompt)
		return
	case rerank:
		e.rerank(w, q, prompt)
		return
	case score:
		e.score(w, q, prompt)
		return
	case chat, completion, tokenize, detokenize:
	}
	g := &generation{
		e: e, w: w, r: r, kind: k, q: q, fault: fault, prompt: prompt, n: min(max(q.N, 1), 16), id: "sim-" + uuid.NewString(),
		said: q.reply(k, asked, max(limit, 1)),
	}
	if q.Stream {
		g.stream()
	} else {
		g.whole()
	}
}

// generation is one answer in the making.
type generation struct {
	e      *Engine
	w      http.ResponseWriter
	r      *http.Request
	kind   kind
	q      *request
	fault  wire.SimFault
	prompt int
	n      int
	id     string
	said   said
}

// pace waits until token i is due and reports false when the client left. A
// fault strikes here.
func (g *generation) pace(i int, begun time.Time) bool {
	if g.fault.AfterTokens == i {
		switch g.fault.Kind {
		case wire.FaultDie:
			panic(http.ErrAbortHandler)
		case wire.FaultHang:
			<-g.r.Context().Done()
			return false
		case wire.FaultLoad, wire.FaultError, wire.FaultBusy, wire.FaultGarbage, wire.FaultNoUsage:
		}
	}
	due := time.Duration(g.e.spec.FirstTokenMillis) * time.Millisecond
	if g.e.spec.TokensPerSecond > 0 {
		due += time.Duration(float64(i) / g.e.spec.TokensPerSecond * float64(time.Second))
	}
	wait := time.Until(begun.Add(due))
	if wait <= 0 {
		return g.r.Context().Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-g.r.Context().Done():
		return false
	}
}

func (g *generation) whole() {
	begun, tokens := time.Now(), g.said.tokens
	for i := range tokens {
		if !g.pace(i, begun) {
			return
		}
		g.e.metrics.generated.Add(int64(g.n))
	}
	var choices []any
	for i := range g.n {
		c := map[string]any{"index": i, "finish_reason": g.said.finish, "stop_reason": g.said.stop, "logprobs": nil}
		if g.kind == chat {
			c["message"] = g.said.message()
		} else {
			c["text"] = strings.Join(tokens, "")
		}
		choices = append(choices, c)
	}
	body := g.frame(choices)
	if g.kind == chat {
		body["object"] = "chat.completion"
	}
	if g.fault.Kind != wire.FaultNoUsage {
		body["usage"] = g.usage(len(tokens))
	}
	answer(g.w, body)
}

func (g *generation) stream() {
	begun, tokens := time.Now(), g.said.tokens
	flush := http.NewResponseController(g.w)
	g.w.Header().Set("Content-Type", "text/event-stream")
	send := func(choices []any, u *usage) bool {
		body := g.frame(choices)
		if u != nil {
			body["usage"] = u
		}
		raw, err := json.Marshal(body)
		if err != nil {
			return false
		}
		_, err = fmt.Fprintf(g.w, "data: %s\n\n", raw)
		return err == nil && flush.Flush() == nil
	}
	for i := range tokens {
		if !g.pace(i, begun) {
			return
		}
		for c := range g.n {
			if !send([]any{g.delta(c, i, nil)}, nil) {
				return
			}
		}
		g.e.metrics.generated.Add(int64(g.n))
	}
	if !g.pace(len(tokens), begun) {
		return
	}
	for c := range g.n {
		if !send([]any{g.delta(c, len(tokens), g.said.finish)}, nil) {
			return
		}
	}
	if g.q.StreamOptions.IncludeUsage && g.fault.Kind != wire.FaultNoUsage {
		u := g.usage(len(tokens))
		if !send([]any{}, &u) {
			return
		}
	}
	_, _ = fmt.Fprint(g.w, "data: [DONE]\n\n") // the client left
	_ = flush.Flush()                          // likewise
}

// delta is one piece of a streamed answer: token i, or the end after the last.
func (g *generation) delta(index, i int, finish any) map[string]any {
	c := map[string]any{"index": index, "finish_reason": finish, "logprobs": nil}
	if finish != nil {
		c["stop_reason"] = g.said.stop
	}
	switch {
	case g.kind == chat:
		c["delta"] = g.said.delta(i)
	case finish == nil:
		c["text"] = g.said.tokens[i]
	default:
		c["text"] = ""
	}
	return c
}

// frame is what all objects of an answer share.
func (g *generation) frame(choices []any) map[string]any {
	object := "text_completion"
	if g.kind == chat {
		object = "chat.completion.chunk"
	}
	return map[string]any{
		"id": g.id, "object": object, "created": time.Now().Unix(), "model": g.e.model, "choices": choices,
		"system_fingerprint": Fingerprint,
	}
}

func (g *generation) usage(tokens int) usage {
	c := tokens * g.n
	return usage{PromptTokens: g.prompt, CompletionTokens: c, TotalTokens: g.prompt + c}
}
