package anthropic

import (
	"cmp"
	"encoding/json"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// request is a client's request, as far as it can be translated.
type request struct {
	Model         string          `json:"model"`
	MaxTokens     json.RawMessage `json:"max_tokens"`
	Messages      []message       `json:"messages"`
	System        json.RawMessage `json:"system"` // a string or a list of texts
	StopSequences []string        `json:"stop_sequences"`
	Stream        bool            `json:"stream"`
	Temperature   json.RawMessage `json:"temperature"`
	TopP          json.RawMessage `json:"top_p"`
	TopK          json.RawMessage `json:"top_k"`
	Tools         []tool          `json:"tools"`
	ToolChoice    *toolChoice     `json:"tool_choice"`
	Thinking      *struct {
		Type    string `json:"type"`
		Display string `json:"display"`
	} `json:"thinking"`
	Metadata struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
	OutputConfig struct {
		Effort string  `json:"effort"`
		Format *format `json:"format"`
	} `json:"output_config"`
	OutputFormat *format `json:"output_format"` // as older SDKs write output_config.format

	MCPServers json.RawMessage `json:"mcp_servers"`
	Container  json.RawMessage `json:"container"`
}

type format struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

type tool struct {
	Type        string          `json:"type"` // none or custom: the client runs it
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
	Strict      *bool           `json:"strict"`
}

type toolChoice struct {
	Type            string `json:"type"`
	Name            string `json:"name"`
	DisableParallel *bool  `json:"disable_parallel_tool_use"`
}

// Messages translates one exchange of POST /v1/messages.
type Messages struct {
	ID string // of the exchange; of the message, too

	thinks bool // the client wants to see the model's reasoning
	names  names
	stream stream
}

// Request returns the body of a chat completion. It refuses what cannot be
// translated, with the field in question.
func (m *Messages) Request(client []byte) ([]byte, *openai.Error) {
	var r request
	if refused := chat.Decode(client, &r); refused != nil {
		return nil, refused
	}
	if chat.Null(r.MaxTokens) {
		return nil, openai.Missing("max_tokens", "Say how many tokens may be generated at most.")
	}
	out, refused := r.conversation()
	if refused != nil {
		return nil, refused
	}
	m.names.from = out.Sources()
	m.thinks = r.Thinking != nil && r.Thinking.Type != "disabled" && r.Thinking.Display != "omitted"
	out.MaxTokens, out.Temperature, out.TopP, out.TopK = r.MaxTokens, r.Temperature, r.TopP, r.TopK
	out.Stop, out.User, out.ReasoningEffort = r.StopSequences, r.Metadata.UserID, effort(r.OutputConfig.Effort)
	if f := cmp.Or(r.OutputConfig.Format, r.OutputFormat); f != nil {
		if f.Type != "json_schema" || chat.Null(f.Schema) {
			return nil, chat.Invalid("output_config.format", "output_config.format must have the type json_schema and a schema.")
		}
		strict := true
		out.ResponseFormat = &chat.Format{Type: "json_schema", JSONSchema: &chat.Schema{Name: "answer", Schema: f.Schema, Strict: &strict}}
	}
	if out.Stream = r.Stream; r.Stream {
		out.StreamOptions = &chat.StreamOptions{IncludeUsage: true}
	}
	if last := out.Messages[len(out.Messages)-1]; last.Role == "assistant" && len(last.ToolCalls) == 0 {
		no := false
		out.ContinueFinalMessage, out.AddGenerationPrompt = true, &no
	}
	return chat.Encode(out), nil
}

// effort returns the nearest effort that engines know.
func effort(word string) string {
	if word == "max" || word == "xhigh" {
		return "high"
	}
	return word
}

// conversation returns the model, the messages and the tools.
func (r *request) conversation() (*chat.Request, *openai.Error) {
	switch {
	case len(r.Messages) == 0:
		return nil, openai.Missing("messages", "Send a list of at least one message.")
	case !chat.Null(r.MCPServers):
		return nil, chat.Unsupported("mcp_servers", "mcp_servers: no servers are asked from here. Call the tools yourself and send their results.")
	case !chat.Null(r.Container):
		return nil, chat.Unsupported("container", "container: there are no containers here.")
	}
	out := &chat.Request{Model: r.Model}
	system, refused := systemText(r.System)
	if refused != nil {
		return nil, refused
	}
	if system != "" {
		out.Messages = append(out.Messages, chat.Message{Role: "system", Content: system, From: chat.Source{Turn: theSystem}})
	}
	for i := range r.Messages {
		said, refused := r.Messages[i].translate(at("messages", i))
		if refused != nil {
			return nil, refused
		}
		for _, one := range said {
			one.From.Turn = i
			out.Messages = append(out.Messages, one)
		}
	}
	if len(out.Messages) == 0 {
		return nil, chat.Invalid("messages", "messages holds nothing that a model could read.")
	}
	if refused := r.tools(out); refused != nil {
		return nil, refused
	}
	return out, nil
}

func (r *request) tools(out *chat.Request) *openai.Error {
	for i, t := range r.Tools {
		if t.Type != "" && t.Type != "custom" {
			return chat.Unsupported(at("tools", i), at("tools", i)+": the tool "+t.Type+" is run by Anthropic's own service. Send tools with a name and an input_schema, and run them yourself.")
		}
		out.Tools = append(out.Tools, chat.Tool{Type: "function", Function: chat.Declared{
			Name: t.Name, Description: t.Description, Parameters: t.InputSchema, Strict: t.Strict,
		}})
	}
	c := r.ToolChoice
	if c == nil {
		return nil
	}
	switch c.Type {
	case "auto", "none":
		out.ToolChoice = c.Type
	case "any":
		out.ToolChoice = "required"
	case "tool":
		out.ToolChoice = chat.Choose(c.Name)
	default:
		return chat.Invalid("tool_choice.type", "tool_choice.type must be auto, any, tool or none.")
	}
	if c.DisableParallel != nil {
		parallel := !*c.DisableParallel
		out.ParallelToolCalls = &parallel
	}
	return nil
}
