package responses

import (
	"encoding/json"
	"strconv"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// request is a client's request, as far as it can be translated.
type request struct {
	Model           string          `json:"model"`
	Input           json.RawMessage `json:"input"` // a string or a list of items
	Instructions    *string         `json:"instructions"`
	Tools           []tool          `json:"tools"`
	ToolChoice      json.RawMessage `json:"tool_choice"` // a word or an object
	Parallel        *bool           `json:"parallel_tool_calls"`
	MaxOutputTokens json.RawMessage `json:"max_output_tokens"`
	Temperature     json.RawMessage `json:"temperature"`
	TopP            json.RawMessage `json:"top_p"`
	Stream          bool            `json:"stream"`
	User            string          `json:"user"`
	Metadata        json.RawMessage `json:"metadata"`
	Reasoning       *reasoning      `json:"reasoning"`
	Text            struct {
		Format *format `json:"format"`
	} `json:"text"`

	// What is refused.
	Store        bool            `json:"store"`
	Previous     *string         `json:"previous_response_id"`
	Conversation json.RawMessage `json:"conversation"`
	Prompt       json.RawMessage `json:"prompt"`
	Background   bool            `json:"background"`
	Truncation   string          `json:"truncation"`
	TopLogprobs  int             `json:"top_logprobs"`
}

type reasoning struct {
	Effort  *string `json:"effort"`
	Summary *string `json:"summary"`
}

type format struct {
	Type        string          `json:"type"`
	Name        string          `json:"name,omitempty"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

type tool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      *bool           `json:"strict"`
}

// Responses translates one exchange of POST /v1/responses.
type Responses struct {
	ID string // of the exchange; of the response, too

	asked request       // what the answer repeats of it
	size  int           // of that, as the client wrote it
	from  []chat.Source // of the messages, until the answer begins
	stream
}

// Keeps returns the bytes that it holds on to for the end of the answer, about.
func (r *Responses) Keeps() int64 { return int64(r.size) + 2*int64(r.kept) }

// Request returns the body of a chat completion. It refuses what cannot be
// translated, with the field in question.
func (r *Responses) Request(client []byte) ([]byte, *openai.Error) {
	out, refused := r.read(client)
	if refused != nil {
		return nil, refused
	}
	q := &r.asked
	if out.Stream = q.Stream; q.Stream {
		out.StreamOptions = &chat.StreamOptions{IncludeUsage: true}
	}
	r.size = len(client) - len(q.Input)
	q.Input = nil // an answer does not repeat it
	return chat.Encode(out), nil
}

// read returns the request as one for a chat completion, which is not streamed.
func (r *Responses) read(client []byte) (*chat.Request, *openai.Error) {
	q := &r.asked
	if refused := chat.Decode(client, q); refused != nil {
		return nil, refused
	}
	if refused := q.check(); refused != nil {
		return nil, refused
	}
	out := &chat.Request{
		Model: q.Model, MaxTokens: q.MaxOutputTokens, Temperature: q.Temperature, TopP: q.TopP, ParallelToolCalls: q.Parallel, User: q.User,
	}
	c := conversation{item: instructions}
	if q.Instructions != nil {
		c.system(*q.Instructions)
	}
	if refused := c.input(q.Input); refused != nil {
		return nil, refused
	}
	if out.Messages = c.end(); len(out.Messages) == 0 {
		return nil, openai.Missing("input", "Send a text or a list of items.")
	}
	for _, translate := range []func(*chat.Request) *openai.Error{q.tools, q.choice, q.format} {
		if refused := translate(out); refused != nil {
			return nil, refused
		}
	}
	if q.Reasoning != nil && q.Reasoning.Effort != nil {
		out.ReasoningEffort = *q.Reasoning.Effort
	}
	r.from = out.Sources()
	return out, nil
}

// check refuses what needs a memory, or somebody else's.
func (q *request) check() *openai.Error {
	const stateless = " Nothing is stored here: send the whole conversation as input, with the items of earlier answers."
	switch {
	case q.Store:
		return chat.Unsupported("store", "store must be false or left out."+stateless)
	case q.Previous != nil && *q.Previous != "":
		return chat.Unsupported("previous_response_id", "previous_response_id cannot be used."+stateless)
	case !chat.Null(q.Conversation):
		return chat.Unsupported("conversation", "conversation cannot be used."+stateless)
	case !chat.Null(q.Prompt):
		return chat.Unsupported("prompt", "prompt cannot be used: there are no stored prompts here. Send instructions and input.")
	case q.Background:
		return chat.Unsupported("background", "background must be false: an answer is not kept to be fetched later. Use a stream.")
	case q.Truncation != "" && q.Truncation != "disabled":
		return chat.Unsupported("truncation", "truncation must be disabled: nothing of the input is left out here.")
	case q.TopLogprobs != 0:
		return chat.Unsupported("top_logprobs", "top_logprobs cannot be had here. Use /v1/chat/completions for them.")
	}
	return nil
}

func (q *request) tools(out *chat.Request) *openai.Error {
	for i, t := range q.Tools {
		if t.Type != "function" {
			where := at("tools", i)
			return chat.Unsupported(where+".type", where+".type: a tool of the type "+strconv.Quote(t.Type)+" is run by OpenAI's own service. Send functions, and call them yourself.")
		}
		parameters := t.Parameters
		if chat.Null(parameters) {
			parameters = nil
		}
		out.Tools = append(out.Tools, chat.Tool{Type: "function", Function: chat.Declared{
			Name: t.Name, Description: t.Description, Parameters: parameters, Strict: t.Strict,
		}})
	}
	return nil
}

func (q *request) choice(out *chat.Request) *openai.Error {
	if chat.Null(q.ToolChoice) {
		return nil
	}
	var word string
	if json.Unmarshal(q.ToolChoice, &word) == nil {
		switch word {
		case "auto", "none", "required":
			out.ToolChoice = word
			return nil
		}
	}
	var one struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	if json.Unmarshal(q.ToolChoice, &one) != nil || one.Type != "function" || one.Name == "" {
		return chat.Invalid("tool_choice", `tool_choice must be "auto", "none", "required" or {"type": "function", "name": …}.`)
	}
	out.ToolChoice = chat.Choose(one.Name)
	return nil
}

func (q *request) format(out *chat.Request) *openai.Error {
	f := q.Text.Format
	if f == nil {
		return nil
	}
	switch f.Type {
	case "text":
	case "json_object":
		out.ResponseFormat = &chat.Format{Type: f.Type}
	case "json_schema":
		if f.Name == "" || chat.Null(f.Schema) {
			return chat.Invalid("text.format", "text.format of the type json_schema needs a name and a schema.")
		}
		out.ResponseFormat = &chat.Format{Type: f.Type, JSONSchema: &chat.Schema{
			Name: f.Name, Description: f.Description, Schema: f.Schema, Strict: f.Strict,
		}}
	default:
		return chat.Invalid("text.format.type", "text.format.type must be text, json_object or json_schema.")
	}
	return nil
}

// at names an element of a list, as OpenAI does.
func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
