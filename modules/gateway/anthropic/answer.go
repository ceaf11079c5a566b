package anthropic

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
)

// answer is a whole answer, and the message that begins a stream.
type answer struct {
	ID           string  `json:"id"`
	Type         string  `json:"type"`
	Role         string  `json:"role"`
	Model        string  `json:"model"`
	Content      []any   `json:"content"`
	StopReason   *string `json:"stop_reason"` // null while it is not known
	StopSequence *string `json:"stop_sequence"`
	Usage        usage   `json:"usage"`
}

// usage is what was used: the input does not include what came from a cache.
type usage struct {
	Input         int64 `json:"input_tokens"`
	CacheCreation int64 `json:"cache_creation_input_tokens"`
	CacheRead     int64 `json:"cache_read_input_tokens"`
	Output        int64 `json:"output_tokens"`
}

func usageOf(u *chat.Usage) usage {
	if u == nil {
		return usage{}
	}
	return usage{Input: u.Prompt - u.Cached(), CacheRead: u.Cached(), Output: u.Completion}
}

type textBlock struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type thinkingBlock struct {
	Type      string `json:"type"`
	Thinking  string `json:"thinking"`
	Signature string `json:"signature"` // engines have none
}

type toolUseBlock struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

func (m *Messages) begun(a *chat.Answer) answer {
	return answer{ID: "msg_" + m.ID, Type: "message", Role: "assistant", Model: a.Model, Content: []any{}}
}

// Answer returns a whole answer as a message.
func (m *Messages) Answer(engine []byte) ([]byte, error) {
	a, err := chat.ParseAnswer(engine)
	if err != nil {
		return nil, err //nolint:wrapcheck // says enough
	}
	said, out := &a.Choices[0].Message, m.begun(a)
	if thought := said.Reasoning(); thought != "" && m.thinks {
		out.Content = append(out.Content, thinkingBlock{Type: "thinking", Thinking: thought})
	}
	if text := said.Content + said.Refusal; text != "" {
		out.Content = append(out.Content, textBlock{Type: "text", Text: text})
	}
	for _, c := range said.ToolCalls {
		out.Content = append(out.Content, toolUseBlock{Type: "tool_use", ID: m.useID(c.ID, len(out.Content)), Name: c.Function.Name, Input: input(c.Function.Arguments)})
	}
	end := ended(&a.Choices[0], len(said.ToolCalls) > 0)
	out.StopReason, out.StopSequence, out.Usage = &end.StopReason, end.StopSequence, usageOf(a.Usage)
	return chat.Encode(out), nil
}

// useID returns the id of a tool's use, the block of an index: the engine's, or
// one of ours where it gives none, for the result must name it.
func (m *Messages) useID(engines string, index int) string {
	if engines != "" {
		return engines
	}
	return "toolu_" + m.ID + "_" + strconv.Itoa(index)
}

// input returns the arguments of a call as an object. What a model has not
// brought to an end is one no more; it is kept under a name that says so.
func input(arguments string) json.RawMessage {
	text := strings.TrimSpace(arguments)
	switch {
	case text == "":
		return json.RawMessage("{}")
	case strings.HasPrefix(text, "{") && json.Valid([]byte(text)):
		return json.RawMessage(text)
	}
	return chat.Encode(map[string]string{"unfinished_input": arguments})
}

// ended says why the answer ends.
func ended(c *chat.AnswerChoice, calls bool) ending {
	met := c.Stopped()
	switch {
	case c.FinishReason == "length":
		return ending{StopReason: "max_tokens"}
	case c.FinishReason == "content_filter":
		return ending{StopReason: "refusal"}
	case calls:
		return ending{StopReason: "tool_use"}
	case met != "":
		return ending{StopReason: "stop_sequence", StopSequence: &met}
	}
	return ending{StopReason: "end_turn"}
}
