package responses

import (
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// A message's source is the item that it begins with and the one that has its
// text, or one of these.
const (
	anOutput     = -3 // the text is the item's output
	instructions = -2
	allInput     = -1 // the input is a text
)

// Rename has an error about the chat completion name the client's fields.
func (r *Responses) Rename(e *openai.Error) { chat.Rename(e, r.name) }

func (r *Responses) name(f chat.Field) string {
	switch f[0] {
	case "messages":
		if n := f.In(1, len(r.from)); n >= 0 {
			return messageName(r.from[n], f)
		}
		return "input"
	case "tools":
		if n := f.In(1, len(r.asked.Tools)); n >= 0 {
			return at("tools", n) + f.Leaf(2, "name", "description", "parameters", "type")
		}
	case "max_tokens":
		return "max_output_tokens"
	case "response_format":
		return "text.format"
	case "reasoning_effort":
		return "reasoning.effort"
	case "tool_call_id":
		return "call_id"
	}
	return ""
}

func messageName(from chat.Source, f chat.Field) string {
	switch from.Turn {
	case instructions:
		return "instructions"
	case allInput:
		return "input"
	}
	item := at("input", from.Turn)
	switch f.Word(2) {
	case "tool_calls":
		n := f.In(3, len(from.Calls))
		if n < 0 {
			return item
		}
		call := at("input", from.Calls[n])
		if f.Word(4) == "id" {
			return call + ".call_id"
		}
		return call + f.Leaf(4, "name", "arguments")
	case "tool_call_id":
		return item + ".call_id"
	case "content":
		text := at("input", from.Block) + ".content"
		if from.Block == anOutput {
			text = item + ".output"
		}
		if n := f.In(3, maxParts); n >= 0 {
			return at(text, n)
		}
		return text
	default:
		return item + f.Leaf(2, "role")
	}
}

const maxParts = 1 << 20 // more are none that were sent
