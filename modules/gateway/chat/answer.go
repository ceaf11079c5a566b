package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"net/http"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// Answer is a whole chat completion, and also a chunk of one that is streamed.
type Answer struct {
	ID      string          `json:"id"`
	Created int64           `json:"created"`
	Model   string          `json:"model"`
	Choices []AnswerChoice  `json:"choices"`
	Usage   *Usage          `json:"usage"`
	Error   json.RawMessage `json:"error"` // an engine's, in a stream
}

// AnswerChoice is one of the answers, or a piece of it. Translators ask for one.
type AnswerChoice struct {
	Index        int             `json:"index"`
	Message      Said            `json:"message"`
	Delta        Said            `json:"delta"`
	FinishReason string          `json:"finish_reason"`
	StopReason   json.RawMessage `json:"stop_reason"` // vLLM's: the stop sequence that was met, or a token's number
}

// Said is what a model has written, or a piece of it. Engines have two names for
// its reasoning.
type Said struct {
	Content          string     `json:"content"`
	Refusal          string     `json:"refusal"`
	ReasoningContent string     `json:"reasoning_content"`
	ReasoningText    string     `json:"reasoning"`
	ToolCalls        []ToolCall `json:"tool_calls"`
}

// Reasoning returns what the model has thought.
func (s *Said) Reasoning() string {
	if s.ReasoningContent != "" {
		return s.ReasoningContent
	}
	return s.ReasoningText
}

// Stopped returns the stop sequence that ended the answer, if the engine says.
func (c *AnswerChoice) Stopped() string {
	var text string
	if json.Unmarshal(c.StopReason, &text) != nil {
		return ""
	}
	return text
}

// Usage is what the engine counted.
type Usage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	PromptMore *struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionMore *struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// Cached returns how many of the prompt's tokens came from a cache.
func (u *Usage) Cached() int64 {
	if u == nil || u.PromptMore == nil {
		return 0
	}
	return min(u.PromptMore.Cached, u.Prompt)
}

// Reasoned returns how many of the answer's tokens were reasoning.
func (u *Usage) Reasoned() int64 {
	if u == nil || u.CompletionMore == nil {
		return 0
	}
	return u.CompletionMore.Reasoning
}

// ErrNoAnswer is returned for JSON that is no chat completion.
var ErrNoAnswer = errors.New("this is no chat completion")

// ParseAnswer reads a whole answer, which has at least one choice.
func ParseAnswer(raw []byte) (*Answer, error) {
	var a Answer
	if err := json.Unmarshal(raw, &a); err != nil || len(a.Choices) == 0 {
		return nil, ErrNoAnswer
	}
	return &a, nil
}

// ParseChunk reads a chunk of a stream.
func ParseChunk(raw []byte) (*Answer, error) {
	var a Answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, ErrNoAnswer
	}
	return &a, nil
}

// Failure returns a chunk's error, nil if it carries none. Engines write an object
// or a text.
func (a *Answer) Failure() *openai.Error {
	if !openai.IsError(a.Error) {
		return nil
	}
	e := &openai.Error{Status: http.StatusBadGateway, Type: openai.ServerError, Code: "upstream_error"}
	var said struct {
		Message string          `json:"message"`
		Code    json.RawMessage `json:"code"` // of some engines, a number
	}
	if json.Unmarshal(a.Error, &said) != nil {
		_ = json.Unmarshal(a.Error, &said.Message) // neither: no message
	}
	if e.Message = said.Message; e.Message == "" {
		e.Message = "The model's server failed in the middle of its answer."
	}
	var code string
	if json.Unmarshal(said.Code, &code) == nil && code != "" {
		e.Code = code
	}
	return e
}

// Payloads returns the data of events, one after the other.
func Payloads(events []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(events) {
			data, ok := bytes.CutPrefix(line, []byte("data:"))
			if data = bytes.TrimSpace(data); ok && len(data) > 0 && !yield(data) {
				return
			}
		}
	}
}

// IsDone reports whether the data is the end of the stream.
func IsDone(data []byte) bool { return string(data) == "[DONE]" }

// AppendEvent appends a server-sent event with a name.
func AppendEvent(dst []byte, name string, v any) []byte {
	dst = append(append(dst, "event: "...), name...)
	dst = append(append(dst, "\ndata: "...), Encode(v)...)
	return append(dst, "\n\n"...)
}
