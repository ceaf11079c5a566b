package simengine

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// said is what the simulator answers, token by token.
type said struct {
	tokens   []string
	thoughts int // so many of them come first and are its reasoning
	finish   string
	stop     any       // the stop word that was met
	call     *function // of which the tokens are the arguments
	callID   string
}

// reply makes the answer: a call of a function or JSON where those are asked
// for, else it repeats the question in short and tells what it is.
func (q *request) reply(k kind, asked string, limit int) said {
	s := said{finish: "stop"}
	if k == chat {
		s.call = q.called(asked)
	}
	switch {
	case s.call != nil:
		s.finish, s.callID = "tool_calls", "call_"+strings.ReplaceAll(uuid.NewString(), "-", "")[:24]
		s.tokens = pieces(example(s.call.Parameters))
	case k == chat && strings.HasPrefix(q.ResponseFormat.Type, "json"):
		s.tokens = pieces(example(q.ResponseFormat.JSONSchema.Schema))
	default:
		if k == chat && q.ReasoningEffort != "" && q.ReasoningEffort != "none" {
			s.tokens = strings.SplitAfter("No model thinks here, but this is where its thoughts would be.", " ")
			s.thoughts = len(s.tokens)
		}
		var text []string
		text, s.stop = stopAt(strings.SplitAfter(sentence(asked, q.result()), " "), q.Stop)
		s.tokens = append(s.tokens, text...)
	}
	if len(s.tokens) > limit {
		s.tokens, s.finish, s.stop = s.tokens[:limit], "length", nil
		s.thoughts = min(s.thoughts, limit)
	}
	return s
}

// sentence returns the words for a question, and for what a tool has answered.
func sentence(asked, result string) string {
	text := "This is Inventiv's simulated engine: no model runs here. "
	if asked = short(asked); asked != "" {
		text += "You said: “" + asked + "”. "
	}
	if result = short(result); result != "" {
		text += "The tool said: “" + result + "”. "
	}
	return text + "A real engine would answer that. Everything around it is real: this text came through the gateway and the tunnel, " +
		"token by token, and it is metered and priced."
}

func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 120 {
		text = string(r[:120]) + "…"
	}
	return text
}

// result returns what a tool has answered, if that came last.
func (q *request) result() string {
	if n := len(q.Messages); n > 0 && q.Messages[n-1].Role == "tool" {
		return strings.Join(words(q.Messages[n-1].Content), " ")
	}
	return ""
}

// stopAt ends the answer before the first stop word, and returns that.
func stopAt(tokens []string, raw json.RawMessage) ([]string, any) {
	for _, stop := range words(raw) {
		if before, _, ok := strings.Cut(strings.Join(tokens, ""), stop); ok && stop != "" {
			return strings.SplitAfter(before, " "), stop
		}
	}
	return tokens, nil
}

// pieces cuts text as tokens would, between characters.
func pieces(text string) (tokens []string) {
	for len(text) > bytesPerToken {
		n := bytesPerToken
		for n > 1 && !utf8.RuneStart(text[n]) {
			n--
		}
		tokens, text = append(tokens, text[:n]), text[n:]
	}
	return append(tokens, text)
}

// message returns the whole of an answer in chat.
func (s *said) message() map[string]any {
	rest := strings.Join(s.tokens[s.thoughts:], "")
	m := map[string]any{"role": "assistant", "content": rest}
	if s.call != nil {
		m["content"] = nil
		m["tool_calls"] = []any{map[string]any{
			"id": s.callID, "type": "function", "function": map[string]any{"name": s.call.Name, "arguments": rest},
		}}
	}
	if s.thoughts > 0 {
		m["reasoning_content"] = strings.Join(s.tokens[:s.thoughts], "")
	}
	return m
}

// delta returns token i of an answer in chat; nothing after the last.
func (s *said) delta(i int) map[string]any {
	d := map[string]any{}
	if i == 0 {
		d["role"] = "assistant"
	}
	switch {
	case i == len(s.tokens):
	case s.call != nil:
		call := map[string]any{"index": 0, "function": map[string]any{"arguments": s.tokens[i]}}
		if i == 0 {
			call["id"], call["type"] = s.callID, "function"
			call["function"] = map[string]any{"name": s.call.Name, "arguments": s.tokens[i]}
		}
		d["tool_calls"] = []any{call}
	case i < s.thoughts:
		d["reasoning_content"] = s.tokens[i]
	default:
		d["content"] = s.tokens[i]
	}
	return d
}
