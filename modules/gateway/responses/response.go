package responses

import (
	"encoding/json"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
)

// response is an answer, whole or so far. What the request said is repeated.
type response struct {
	ID                string          `json:"id"`
	Object            string          `json:"object"`
	CreatedAt         int64           `json:"created_at"`
	Status            string          `json:"status"`
	Background        bool            `json:"background"`
	Error             *failure        `json:"error"`
	IncompleteDetails *incomplete     `json:"incomplete_details"`
	Instructions      *string         `json:"instructions"`
	MaxOutputTokens   json.RawMessage `json:"max_output_tokens"`
	Model             string          `json:"model"`
	Output            []item          `json:"output"`
	ParallelToolCalls bool            `json:"parallel_tool_calls"`
	Previous          *string         `json:"previous_response_id"`
	Reasoning         reasoning       `json:"reasoning"`
	Store             bool            `json:"store"`
	Temperature       json.RawMessage `json:"temperature"`
	Text              textOptions     `json:"text"`
	ToolChoice        json.RawMessage `json:"tool_choice"`
	Tools             []tool          `json:"tools"`
	TopP              json.RawMessage `json:"top_p"`
	Truncation        string          `json:"truncation"`
	Usage             *usage          `json:"usage"`
	User              *string         `json:"user"`
	Metadata          json.RawMessage `json:"metadata"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incomplete struct {
	Reason string `json:"reason"`
}

type textOptions struct {
	Format format `json:"format"`
}

type usage struct {
	Input        int64 `json:"input_tokens"`
	InputDetails struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	Output        int64 `json:"output_tokens"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int64 `json:"total_tokens"`
}

func usageOf(u *chat.Usage) *usage {
	if u == nil {
		return nil
	}
	out := &usage{Input: u.Prompt, Output: u.Completion, Total: u.Prompt + u.Completion}
	out.InputDetails.Cached, out.OutputDetails.Reasoning = u.Cached(), u.Reasoned()
	return out
}

// item is a piece of the output: reasoning, a message or the call of a function.
type item struct {
	ID        string  `json:"id"`
	Type      string  `json:"type"`
	Status    string  `json:"status"`
	Role      string  `json:"role,omitempty"`
	Summary   *[]part `json:"summary,omitempty"` // of reasoning; engines make none
	Content   *[]part `json:"content,omitempty"`
	CallID    string  `json:"call_id,omitempty"`
	Name      string  `json:"name,omitempty"`
	Arguments *string `json:"arguments,omitempty"`
}

// part is a piece of a message's or reasoning's content.
type part struct {
	Type        string  `json:"type"`
	Text        *string `json:"text,omitempty"`
	Refusal     *string `json:"refusal,omitempty"`
	Annotations *[]any  `json:"annotations,omitempty"`
	Logprobs    *[]any  `json:"logprobs,omitempty"`
}

const (
	outputText    = "output_text"
	refusal       = "refusal"
	reasoningText = "reasoning_text"
)

func newPart(kind, text string) part {
	switch kind {
	case refusal:
		return part{Type: kind, Refusal: &text}
	case outputText:
		return part{Type: kind, Text: &text, Annotations: &[]any{}, Logprobs: &[]any{}}
	}
	return part{Type: kind, Text: &text}
}

// response returns the response as it stands.
func (r *Responses) response(status string) *response {
	q := &r.asked
	out := &response{
		ID: "resp_" + r.ID, Object: "response", CreatedAt: r.created, Status: status, Instructions: q.Instructions, MaxOutputTokens: orNull(q.MaxOutputTokens),
		Model: r.model, Output: r.items, ParallelToolCalls: q.Parallel == nil || *q.Parallel, Temperature: orNull(q.Temperature),
		Text: textOptions{format{Type: "text"}}, ToolChoice: q.ToolChoice, Tools: q.Tools, TopP: orNull(q.TopP), Truncation: "disabled",
		Usage: usageOf(r.usage), Metadata: q.Metadata,
	}
	if out.Output == nil {
		out.Output = []item{}
	}
	if out.Tools == nil {
		out.Tools = []tool{}
	}
	if q.Text.Format != nil {
		out.Text.Format = *q.Text.Format
	}
	if q.Reasoning != nil {
		out.Reasoning = *q.Reasoning
	}
	if chat.Null(out.ToolChoice) {
		out.ToolChoice = json.RawMessage(`"auto"`)
	}
	if chat.Null(out.Metadata) {
		out.Metadata = json.RawMessage(`{}`)
	}
	if q.User != "" {
		out.User = &q.User
	}
	return out
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// ended returns the response as it is in the end.
func (r *Responses) ended() *response {
	out := r.response("completed")
	switch r.finish {
	case "length":
		out.Status, out.IncompleteDetails = "incomplete", &incomplete{"max_output_tokens"}
	case "content_filter":
		out.Status, out.IncompleteDetails = "incomplete", &incomplete{"content_filter"}
	}
	return out
}

// Answer returns a whole answer as a response.
func (r *Responses) Answer(engine []byte) ([]byte, error) {
	a, err := chat.ParseAnswer(engine)
	if err != nil {
		return nil, err //nolint:wrapcheck // says enough
	}
	r.quiet = true // the same, without telling how it came about
	r.begin(a)
	r.usage, r.finish = a.Usage, a.Choices[0].FinishReason
	said := &a.Choices[0].Message
	for i := range said.ToolCalls {
		said.ToolCalls[i].Index = i // only a stream's pieces are numbered
	}
	if err := r.said(said); err != nil {
		return nil, err
	}
	r.endAll(r.finish)
	return chat.Encode(r.ended()), nil
}
