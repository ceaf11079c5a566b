package anthropic

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// message is one turn of the conversation.
type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"` // a string or a list of blocks
}

// block is a piece of a turn; which fields it has depends on its type.
type block struct {
	Type     string          `json:"type"`
	Text     string          `json:"text"`
	Thinking string          `json:"thinking"`
	Source   source          `json:"source"`      // of an image or a document
	ID       string          `json:"id"`          // of a tool_use, as are
	Name     string          `json:"name"`        // its name
	Input    json.RawMessage `json:"input"`       // and input
	ToolUse  string          `json:"tool_use_id"` // of a tool_result, as are
	Content  json.RawMessage `json:"content"`     // its content
	IsError  bool            `json:"is_error"`    // and whether it failed
}

type source struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type"`
	Data      string `json:"data"`
}

// at names an element of a list, as Anthropic does.
func at(list string, i int) string { return list + "." + strconv.Itoa(i) }

// blocks reads content: a string is one text.
func blocks(raw json.RawMessage, param string) ([]block, *openai.Error) {
	var text string
	if json.Unmarshal(raw, &text) == nil && !chat.Null(raw) {
		return []block{{Type: "text", Text: text}}, nil
	}
	var list []block
	if chat.Null(raw) || json.Unmarshal(raw, &list) != nil {
		return nil, chat.Invalid(param, param+" must be a string or a list of content blocks.")
	}
	return list, nil
}

// systemText returns the system prompt as one text.
func systemText(raw json.RawMessage) (string, *openai.Error) {
	if chat.Null(raw) {
		return "", nil
	}
	list, refused := blocks(raw, "system")
	if refused != nil {
		return "", refused
	}
	return texts(list, "system")
}

// texts joins blocks that must be texts.
func texts(list []block, param string) (string, *openai.Error) {
	all := make([]string, len(list))
	for i, b := range list {
		if b.Type != "text" {
			return "", chat.Invalid(at(param, i), at(param, i)+" must be a text.")
		}
		all[i] = b.Text
	}
	return strings.Join(all, "\n"), nil
}

// translate returns the messages that a turn becomes: a user's results of tools
// are messages of their own.
func (m *message) translate(param string) ([]chat.Message, *openai.Error) {
	list, refused := blocks(m.Content, param+".content")
	if refused != nil {
		return nil, refused
	}
	switch m.Role {
	case "user":
		return user(list, param+".content")
	case "assistant":
		return assistant(list, param+".content")
	case "system":
		text, refused := texts(list, param+".content")
		return []chat.Message{{Role: "system", Content: text, From: chat.Source{Block: allBlocks}}}, refused
	}
	return nil, chat.Invalid(param+".role", param+".role must be user, assistant or system.")
}

func user(list []block, param string) ([]chat.Message, *openai.Error) {
	var results []chat.Message
	var parts []chat.Part
	for i := range list {
		b, where := &list[i], at(param, i)
		if b.Type != "tool_result" {
			part, refused := b.part(where)
			if refused != nil {
				return nil, refused
			}
			parts = append(parts, part)
			continue
		}
		result, pictures, refused := b.result(where)
		if refused != nil {
			return nil, refused
		}
		result.From.Block = i
		results, parts = append(results, result), append(parts, pictures...)
	}
	if len(parts) > 0 {
		results = append(results, chat.Message{Role: "user", Content: chat.Content(parts), From: chat.Source{Block: allBlocks}})
	}
	return results, nil
}

// result returns a tool's result as a message, and its pictures, which few
// engines take there: they follow as the user's.
func (b *block) result(param string) (chat.Message, []chat.Part, *openai.Error) {
	out := chat.Message{Role: "tool", ToolCallID: b.ToolUse}
	var texts []string
	var pictures []chat.Part
	if !chat.Null(b.Content) {
		list, refused := blocks(b.Content, param+".content")
		if refused != nil {
			return out, nil, refused
		}
		for i := range list {
			part, refused := list[i].part(at(param+".content", i))
			switch {
			case refused != nil:
				return out, nil, refused
			case part.ImageURL != nil:
				pictures = append(pictures, part)
			default:
				texts = append(texts, part.Text)
			}
		}
	}
	text := strings.Join(texts, "\n")
	if text == "" && b.IsError {
		text = "The tool failed."
	}
	out.Content = text
	return out, pictures, nil
}

// part returns a block that is text or a picture.
func (b *block) part(param string) (chat.Part, *openai.Error) {
	switch {
	case b.Type == "text":
		return chat.Text(b.Text), nil
	case b.Type == "image" && b.Source.Type == "base64":
		if !strings.HasPrefix(b.Source.MediaType, "image/") || strings.ContainsAny(b.Source.MediaType, ",; ") {
			return chat.Part{}, chat.Invalid(param+".source.media_type", param+".source.media_type must be a picture's, such as image/png.")
		}
		return chat.Image("data:"+b.Source.MediaType+";base64,"+b.Source.Data, ""), nil
	case b.Type == "image":
		return chat.Part{}, chat.NoMedia(param + ".source")
	case b.Type == "document" && b.Source.Type == "text":
		return chat.Text(b.Source.Data), nil
	case b.Type == "document":
		return chat.Part{}, chat.Unsupported(param, param+": documents other than plain text cannot be read here. Send their text.")
	}
	return chat.Part{}, chat.Unsupported(param, param+": a block of the type "+strconv.Quote(b.Type)+" cannot be translated. There are text, image, document, tool_use, tool_result and thinking.")
}

func assistant(list []block, param string) ([]chat.Message, *openai.Error) {
	out := chat.Message{Role: "assistant", From: chat.Source{Block: allBlocks}}
	var text, thought strings.Builder
	for i := range list {
		switch b := &list[i]; b.Type {
		case "text":
			text.WriteString(b.Text)
		case "thinking":
			thought.WriteString(b.Thinking)
		case "redacted_thinking": // nobody here can read it
		case "tool_use":
			input := string(b.Input)
			if chat.Null(b.Input) {
				input = "{}"
			}
			out.ToolCalls, out.From.Calls = append(out.ToolCalls, chat.Call(b.ID, b.Name, input)), append(out.From.Calls, i)
		default:
			return nil, chat.Unsupported(at(param, i), at(param, i)+": an assistant's turn has text, thinking and tool_use; a block of the type "+strconv.Quote(b.Type)+" cannot be translated.")
		}
	}
	if out.Reasoning = thought.String(); text.Len() > 0 {
		out.Content = text.String()
	}
	if out.Content == nil && out.Reasoning == "" && len(out.ToolCalls) == 0 {
		return nil, nil // an empty turn says nothing
	}
	return []chat.Message{out}, nil
}
