package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// Request is a request for a chat completion, as far as translators write one.
// What the client sent as a number or a schema is kept as it was written.
type Request struct {
	Model             string          `json:"model"`
	Messages          []Message       `json:"messages"`
	MaxTokens         json.RawMessage `json:"max_tokens,omitempty"`
	Temperature       json.RawMessage `json:"temperature,omitempty"`
	TopP              json.RawMessage `json:"top_p,omitempty"`
	TopK              json.RawMessage `json:"top_k,omitempty"`
	TopLogprobs       json.RawMessage `json:"top_logprobs,omitempty"`
	Stop              []string        `json:"stop,omitempty"`
	Tools             []Tool          `json:"tools,omitempty"`
	ToolChoice        any             `json:"tool_choice,omitempty"` // a word or a Choice
	ParallelToolCalls *bool           `json:"parallel_tool_calls,omitempty"`
	ResponseFormat    *Format         `json:"response_format,omitempty"`
	ReasoningEffort   string          `json:"reasoning_effort,omitempty"`
	User              string          `json:"user,omitempty"`
	Stream            bool            `json:"stream,omitempty"`
	StreamOptions     *StreamOptions  `json:"stream_options,omitempty"`

	// vLLM's own: the last message is the beginning of the answer.
	ContinueFinalMessage bool  `json:"continue_final_message,omitempty"`
	AddGenerationPrompt  *bool `json:"add_generation_prompt,omitempty"`
}

// StreamOptions ask for the usage of a stream.
type StreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// Message is one turn of a conversation.
type Message struct {
	Role       string     `json:"role"`
	Content    any        `json:"content,omitempty"` // a string or a list of Parts
	Reasoning  string     `json:"reasoning_content,omitempty"`
	ToolCalls  []ToolCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`

	From Source `json:"-"`
}

// Part is a piece of a message: text, or a picture by its data URL.
type Part struct {
	Type     string    `json:"type"`
	Text     string    `json:"text,omitempty"`
	ImageURL *ImageURL `json:"image_url,omitempty"`
}

// ImageURL is where a picture is.
type ImageURL struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitempty"`
}

// Text returns a part that is text.
func Text(s string) Part { return Part{Type: "text", Text: s} }

// Image returns a part that is a picture.
func Image(url, detail string) Part {
	return Part{Type: "image_url", ImageURL: &ImageURL{URL: url, Detail: detail}}
}

// Content returns parts as a message holds them: one text alone is a string,
// which also the simplest engines take.
func Content(parts []Part) any {
	if len(parts) == 1 && parts[0].ImageURL == nil {
		return parts[0].Text
	}
	return parts
}

// ToolCall is a model's wish to have a function called.
type ToolCall struct {
	Index    int      `json:"index,omitempty"` // of a stream's piece
	ID       string   `json:"id,omitempty"`
	Type     string   `json:"type,omitempty"`
	Function Function `json:"function"`
}

// Function is what is to be called. Arguments are JSON as text.
type Function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Call returns a call of a function.
func Call(id, name, arguments string) ToolCall {
	return ToolCall{ID: id, Type: "function", Function: Function{Name: name, Arguments: arguments}}
}

// Tool is a function that the model may want called.
type Tool struct {
	Type     string   `json:"type"`
	Function Declared `json:"function"`
}

// Declared is a function as it is declared.
type Declared struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

// Choice makes the model want one function.
type Choice struct {
	Type     string `json:"type"`
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// Choose returns the choice of a function.
func Choose(name string) Choice {
	c := Choice{Type: "function"}
	c.Function.Name = name
	return c
}

// Format is what an answer must look like.
type Format struct {
	Type       string  `json:"type"`
	JSONSchema *Schema `json:"json_schema,omitempty"`
}

// Schema is the JSON schema of an answer.
type Schema struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

// Encode writes a value as JSON. What translators write always can be.
func Encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Decode reads a client's JSON into v and says, if it cannot, which field is to
// blame.
func Decode(raw []byte, v any) *openai.Error {
	err := json.Unmarshal(raw, v)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return Invalid(wrong.Field, wrong.Field+" must not be "+article(wrong.Value)+".")
	}
	return Invalid("", "The body cannot be read: "+strings.TrimPrefix(err.Error(), "json: ")+".")
}

func article(kind string) string {
	switch {
	case kind == "array" || kind == "object":
		return "an " + kind
	case strings.HasPrefix(kind, "number"):
		return "a number"
	case kind == "bool":
		return "a boolean"
	}
	return "a " + kind
}

// Invalid is the refusal of a field.
func Invalid(param, message string) *openai.Error {
	return &openai.Error{Status: http.StatusBadRequest, Type: openai.InvalidRequest, Code: "invalid_value", Param: param, Message: message}
}

// Unsupported is the refusal of something that only the API's maker has.
func Unsupported(param, message string) *openai.Error {
	return &openai.Error{Status: http.StatusBadRequest, Type: openai.InvalidRequest, Code: "unsupported_parameter", Param: param, Message: message}
}

// NoMedia is the refusal of media that would have to be fetched.
func NoMedia(param string) *openai.Error {
	return &openai.Error{
		Status: http.StatusBadRequest, Type: openai.InvalidRequest, Code: "media_not_allowed", Param: param,
		Message: param + ": media must come along in the request, in Base64; nothing is fetched from an address or from files kept elsewhere.",
	}
}

// Null reports whether a value is left out or null.
func Null(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// Blank reports whether a text is nothing but white space.
func Blank(text string) bool { return strings.TrimSpace(text) == "" }
