package anthropic

import (
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// A message's source is a turn and the tool result in it that the message was
// made of, or one of these.
const (
	allBlocks = -1
	theSystem = -1 // in place of a turn
)

// names knows the client's names for fields of the chat completion.
type names struct {
	from []chat.Source // of the messages, until the answer begins
}

// Rename has an error about the chat completion name the client's fields.
func (m *Messages) Rename(e *openai.Error) { chat.Rename(e, m.names.name) }

func (n *names) name(f chat.Field) string {
	switch f[0] {
	case "messages":
		if i := f.In(1, len(n.from)); i >= 0 {
			return messageName(n.from[i], f)
		}
	case "tools":
		if i := f.In(1, maxTools); i >= 0 {
			if f.Word(2) == "parameters" {
				return at("tools", i) + ".input_schema"
			}
			return at("tools", i) + f.Leaf(2, "name", "description", "type")
		}
	case "stop":
		return "stop_sequences"
	case "response_format":
		return "output_config.format"
	case "reasoning_effort":
		return "output_config.effort"
	case "tool_call_id":
		return "tool_use_id"
	}
	return ""
}

const maxTools = 1 << 20 // more are none that were sent

func messageName(from chat.Source, f chat.Field) string {
	if from.Turn == theSystem {
		return "system"
	}
	turn := at("messages", from.Turn)
	where := turn
	if from.Block != allBlocks {
		where = at(turn+".content", from.Block)
	}
	switch f.Word(2) {
	case "tool_calls":
		i := f.In(3, len(from.Calls))
		if i < 0 {
			return turn
		}
		use := at(turn+".content", from.Calls[i])
		if f.Word(4) == "arguments" {
			return use + ".input"
		}
		return use + f.Leaf(4, "id", "name")
	case "tool_call_id":
		return where + ".tool_use_id"
	case "role":
		return turn + ".role"
	default:
		return where + f.Leaf(2, "content")
	}
}
