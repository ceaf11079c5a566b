package responses

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// inputItem is an item of the input; which fields it has depends on its type.
type inputItem struct {
	Type    string          `json:"type"` // none: a message
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"` // a string or a list of parts
	Summary json.RawMessage `json:"summary"`

	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    json.RawMessage `json:"output"` // a string or a list of parts
}

type inputPart struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Refusal  string `json:"refusal"`
	ImageURL string `json:"image_url"`
	Detail   string `json:"detail"`
}

// conversation collects messages. What the model has said in a row, its
// reasoning, its text and its calls, is one message of a chat.
type conversation struct {
	messages []chat.Message
	turn     *chat.Message // the model's, as far as it is known
	item     int           // of the input, that is being read
}

// end returns the messages.
func (c *conversation) end() []chat.Message {
	if c.turn != nil {
		c.messages = append(c.messages, *c.turn)
		c.turn = nil
	}
	return c.messages
}

func (c *conversation) add(m chat.Message) {
	if m.From = (chat.Source{Turn: c.item, Block: c.item}); m.Role == "tool" {
		m.From.Block = anOutput
	}
	c.messages = append(c.end(), m)
}

// model returns the model's turn that is open.
func (c *conversation) model() *chat.Message {
	if c.turn == nil {
		c.turn = &chat.Message{Role: "assistant", From: chat.Source{Turn: c.item, Block: c.item}}
	}
	return c.turn
}

// system adds to the system prompt. Many models take one alone, at the beginning.
func (c *conversation) system(text string) {
	if n := len(c.messages); n == 1 && c.turn == nil && c.messages[0].Role == "system" {
		if before, ok := c.messages[0].Content.(string); ok {
			c.messages[0].Content = before + "\n\n" + text
			return
		}
	}
	c.add(chat.Message{Role: "system", Content: text})
}

func (c *conversation) input(raw json.RawMessage) *openai.Error {
	if chat.Null(raw) {
		return openai.Missing("input", "Send a text or a list of items.")
	}
	var text string
	if c.item = allInput; json.Unmarshal(raw, &text) == nil {
		c.add(chat.Message{Role: "user", Content: text})
		return nil
	}
	var items []inputItem
	if json.Unmarshal(raw, &items) != nil {
		return chat.Invalid("input", "input must be a string or a list of items.")
	}
	for i := range items {
		c.item = i
		if refused := c.take(&items[i], at("input", i)); refused != nil {
			return refused
		}
	}
	return nil
}

func (c *conversation) take(in *inputItem, param string) *openai.Error {
	switch in.Type {
	case "", "message":
		return c.message(in, param)
	case "function_call":
		turn := c.model()
		turn.ToolCalls, turn.From.Calls = append(turn.ToolCalls, chat.Call(in.CallID, in.Name, in.Arguments)), append(turn.From.Calls, c.item)
	case "function_call_output":
		list, refused := parts(in.Output, param+".output")
		if refused != nil {
			return refused
		}
		c.add(chat.Message{Role: "tool", ToolCallID: in.CallID, Content: chat.Content(list)})
	case "reasoning":
		return c.reasoning(in, param)
	case "item_reference":
		return chat.Unsupported(param, param+": an item_reference leads nowhere, because nothing is stored here. Send the item itself, as clients do that are told store: false.")
	default:
		return chat.Unsupported(param, param+": an item of the type "+strconv.Quote(in.Type)+" cannot be translated. There are message, function_call, function_call_output and reasoning.")
	}
	return nil
}

func (c *conversation) message(in *inputItem, param string) *openai.Error {
	list, refused := parts(in.Content, param+".content")
	if refused != nil {
		return refused
	}
	switch in.Role {
	case "user":
		c.add(chat.Message{Role: "user", Content: chat.Content(list)})
		return nil
	case "assistant", "system", "developer":
	default:
		return chat.Invalid(param+".role", param+".role must be user, assistant, system or developer.")
	}
	var text strings.Builder
	for _, p := range list {
		if p.ImageURL != nil {
			return chat.Invalid(param+".content", param+".content: only users send pictures.")
		}
		text.WriteString(p.Text)
	}
	if in.Role != "assistant" {
		c.system(text.String())
		return nil
	}
	if c.turn != nil && (c.turn.Content != nil || len(c.turn.ToolCalls) > 0) {
		c.end()
	}
	turn := c.model()
	turn.Content, turn.From.Block = text.String(), c.item
	return nil
}

// reasoning begins a turn of the model with what it thought.
func (c *conversation) reasoning(in *inputItem, param string) *openai.Error {
	thoughts := in.Content
	if chat.Null(thoughts) {
		thoughts = in.Summary
	}
	var list []inputPart
	if !chat.Null(thoughts) && json.Unmarshal(thoughts, &list) != nil {
		return chat.Invalid(param+".content", param+".content must be a list.")
	}
	var text strings.Builder
	for _, p := range list {
		text.WriteString(p.Text)
	}
	if c.turn != nil && (c.turn.Content != nil || len(c.turn.ToolCalls) > 0) {
		c.end()
	}
	if text.Len() > 0 {
		c.model().Reasoning += text.String()
	}
	return nil
}

// parts reads content: a string is one text.
func parts(raw json.RawMessage, param string) ([]chat.Part, *openai.Error) {
	var text string
	if !chat.Null(raw) && json.Unmarshal(raw, &text) == nil {
		return []chat.Part{chat.Text(text)}, nil
	}
	var list []inputPart
	if chat.Null(raw) || json.Unmarshal(raw, &list) != nil {
		return nil, chat.Invalid(param, param+" must be a string or a list of parts.")
	}
	out := make([]chat.Part, 0, len(list))
	for i, p := range list {
		where := at(param, i)
		switch p.Type {
		case "input_text", "output_text", "text":
			out = append(out, chat.Text(p.Text))
		case "refusal":
			out = append(out, chat.Text(p.Refusal))
		case "input_image":
			if !strings.HasPrefix(p.ImageURL, "data:") {
				return nil, chat.NoMedia(where)
			}
			out = append(out, chat.Image(p.ImageURL, p.Detail))
		case "input_file":
			return nil, chat.Unsupported(where, where+": files cannot be read here. Send their text.")
		default:
			return nil, chat.Unsupported(where, where+": a part of the type "+strconv.Quote(p.Type)+" cannot be translated. There are input_text, input_image, output_text and refusal.")
		}
	}
	return out, nil
}
