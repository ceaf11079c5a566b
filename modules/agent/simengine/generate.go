package simengine

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// request is what the simulator reads of a request's body.
type request struct {
	Model         string          `json:"model"`
	Messages      []message       `json:"messages"`
	Prompt        json.RawMessage `json:"prompt"`
	Input         json.RawMessage `json:"input"`
	Stream        bool            `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	N                   int             `json:"n"`
	Stop                json.RawMessage `json:"stop"`
	EncodingFormat      string          `json:"encoding_format"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// words returns the text of a JSON string, of a list of them, or of a message's
// list of parts.
func words(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var many []string
	if json.Unmarshal(raw, &many) == nil {
		return many
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return nil
	}
	for _, p := range parts {
		many = append(many, p.Text)
	}
	return many
}

// prompt returns the text that was asked, and its length in simulated tokens:
// one for every four bytes, as English has on average.
func (q *request) prompt(k kind) (asked string, tokens int) {
	var all []string
	switch k {
	case chat:
		for _, m := range q.Messages {
			all = append(all, words(m.Content)...)
			if m.Role == "user" {
				asked = strings.Join(words(m.Content), " ")
			}
		}
	case completion:
		all = words(q.Prompt)
		asked = strings.Join(all, " ")
	case embedding:
		all = words(q.Input)
	}
	for _, s := range all {
		tokens += len(s)/4 + 1
	}
	return asked, tokens
}

// reply is what the simulator says, in tokens: it repeats the question in short
// and tells what it is.
func reply(asked string, limit int) (tokens []string, finish string) {
	asked = strings.Join(strings.Fields(asked), " ")
	if r := []rune(asked); len(r) > 120 {
		asked = string(r[:120]) + "…"
	}
	text := "This is Inventiv's simulated engine: no model runs here. "
	if asked != "" {
		text += "You said: “" + asked + "”. "
	}
	text += "A real engine would answer that. Everything around it is real: this text came through the gateway and the tunnel, " +
		"token by token, and it is metered and priced."
	fields := strings.SplitAfter(text, " ")
	if len(fields) > limit {
		return fields[:limit], "length"
	}
	return fields, "stop"
}

// usage counts tokens as vLLM reports them.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// serve answers an inference request that has a slot.
func (e *Engine) serve(w http.ResponseWriter, r *http.Request, k kind, q *request, fault wire.SimFault) {
	asked, prompt := q.prompt(k)
	if prompt == 0 {
		refuse(w, http.StatusBadRequest, "BadRequestError", "messages", "There is nothing to answer.")
		return
	}
	limit := e.spec.MaxModelLen - prompt
	if limit <= 0 {
		refuse(w, http.StatusBadRequest, "BadRequestError", "messages",
			fmt.Sprintf("This model's maximum context length is %d tokens; the request has %d.", e.spec.MaxModelLen, prompt))
		return
	}
	for _, n := range []*int{q.MaxTokens, q.MaxCompletionTokens} {
		if n != nil && *n < limit {
			limit = *n
		}
	}
	e.metrics.prompt.Add(int64(prompt))
	if k == embedding {
		e.embed(w, q, prompt)
		return
	}
	tokens, finish := reply(asked, max(limit, 1))
	tokens, finish = stopAt(tokens, finish, q.Stop)
	g := &generation{e: e, w: w, r: r, kind: k, q: q, fault: fault, prompt: prompt, n: min(max(q.N, 1), 16), id: "sim-" + uuid.NewString()}
	if q.Stream {
		g.stream(tokens, finish)
	} else {
		g.whole(tokens, finish)
	}
}

// stopAt ends the answer before the first stop word.
func stopAt(tokens []string, finish string, raw json.RawMessage) ([]string, string) {
	for _, stop := range words(raw) {
		if stop == "" {
			continue
		}
		text := strings.Join(tokens, "")
		if before, _, ok := strings.Cut(text, stop); ok {
			tokens, finish = strings.SplitAfter(before, " "), "stop"
		}
	}
	return tokens, finish
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

func (g *generation) whole(tokens []string, finish string) {
	begun := time.Now()
	for i := range tokens {
		if !g.pace(i, begun) {
			return
		}
		g.e.metrics.generated.Add(int64(g.n))
	}
	text := strings.Join(tokens, "")
	var choices []any
	for i := range g.n {
		c := map[string]any{"index": i, "finish_reason": finish, "logprobs": nil}
		if g.kind == chat {
			c["message"] = map[string]any{"role": "assistant", "content": text}
		} else {
			c["text"] = text
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

func (g *generation) stream(tokens []string, finish string) {
	begun := time.Now()
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
	for i, token := range tokens {
		if !g.pace(i, begun) {
			return
		}
		for c := range g.n {
			if !send([]any{g.delta(c, token, i == 0, nil)}, nil) {
				return
			}
		}
		g.e.metrics.generated.Add(int64(g.n))
	}
	if !g.pace(len(tokens), begun) {
		return
	}
	for c := range g.n {
		if !send([]any{g.delta(c, "", false, finish)}, nil) {
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

// delta is one piece of a streamed answer.
func (g *generation) delta(index int, token string, first bool, finish any) map[string]any {
	if g.kind == completion {
		return map[string]any{"index": index, "text": token, "finish_reason": finish, "logprobs": nil}
	}
	d := map[string]any{}
	if finish == nil {
		d["content"] = token
	}
	if first {
		d["role"] = "assistant"
	}
	return map[string]any{"index": index, "delta": d, "finish_reason": finish, "logprobs": nil}
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

const dimensions = 64

// embed answers with a unit vector that depends on the text alone.
func (e *Engine) embed(w http.ResponseWriter, q *request, prompt int) {
	var data []any
	for i, text := range words(q.Input) {
		vector := make([]float64, dimensions)
		length := 0.0
		for d := range vector {
			h := fnv.New64a()
			_, _ = fmt.Fprintf(h, "%d %s", d, text) // a hash takes anything
			vector[d] = float64(h.Sum64()%2_000_001)/1e6 - 1
			length += vector[d] * vector[d]
		}
		for d := range vector {
			vector[d] /= math.Sqrt(length)
		}
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": encode(vector, q.EncodingFormat)})
	}
	answer(w, map[string]any{
		"id": "sim-" + uuid.NewString(), "object": "list", "model": e.model, "data": data,
		"usage": map[string]any{"prompt_tokens": prompt, "total_tokens": prompt},
	})
}
