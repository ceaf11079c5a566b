package openai

import (
	"bytes"
	"net/http"
	"strconv"
)

// Kind is the sort of work that a request asks for.
type Kind uint8

// The kinds, by their paths.
const (
	Chat        Kind = iota + 1 // /v1/chat/completions
	Completions                 // /v1/completions
	Embeddings                  // /v1/embeddings
	Rerank                      // /v1/rerank, as vLLM serves it
	Score                       // /v1/score, likewise
	Tokenize                    // /tokenize, likewise
	Detokenize                  // /detokenize, likewise
	Foreign                     // in the words of another API: still to be translated into one of those above
)

// Generates reports whether an answer is text that a model writes, which can be
// streamed and which another model could write instead.
func (k Kind) Generates() bool { return k == Chat || k == Completions }

// Head is what the gateway acts on in a request's body. Its slices and offsets
// refer to the body that was parsed and are good as long as that is.
type Head struct {
	Model        []byte // the model asked for, never empty
	Kind         Kind
	Stream       bool
	IncludeUsage bool   // the client wants the usage of a stream
	MaxTokens    int    // the higher of the two limits on tokens to generate, for an engine may go by either; 0 when there is none
	Choices      int32  // how many answers are asked for, at least 1
	Most         int32  // set by the caller: what Body limits the tokens to generate to when the client does not; 0 for nothing
	PromptBytes  int    // size of messages, prompt or input, as written; of media a little
	Prompt       []byte // the first of these, as written

	model  span // the value of model, with quotes
	insert span // what gives way to ask for the usage of a stream
	text   string
	open   int32 // offset after the opening brace
	null   int32 // offset of the value of max_tokens, if it is null
}

// ParseHead checks a request's body in one pass: that it is one JSON object of
// at most 64 levels, in UTF-8, with each top-level key once, and that the
// fields the gateway acts on have a type and a value it can act on. What the
// messages contain is for the engine to judge. The error, if any, is one the
// client can be sent: status 400, with the byte offset or the field at fault.
func ParseHead(kind Kind, body []byte) (Head, *Error) {
	p := parser{scanner: scanner{b: body}, head: Head{Kind: kind, Choices: 1}}
	if err := p.parse(); err != nil {
		return Head{}, err
	}
	return p.head, nil
}

// parser is the state of ParseHead.
type parser struct {
	scanner

	head Head

	keys  [48]span // top-level keys so far
	count int
	more  map[string]bool // all of them, once there are too many or one has escapes

	streamEnd int  // offset after the value of stream
	options   span // the value of stream_options
	hasPrompt bool // messages, prompt or input was there
	pictures  int  // bytes of media that do not count as prompt
	refers    bool // there is a $ref in the schema
}

func (p *parser) parse() *Error {
	if err := p.encoding(); err != nil {
		return err
	}
	if p.peek() != '{' {
		p.unexpected("'{'")
		return p.invalidJSON()
	}
	p.head.open = int32(p.i + 1)
	m := p.members(maxDepth)
	for m.next() {
		key := m.key.of(p.b)
		if m.escaped {
			key = unescape(key)
		}
		if p.repeated(key, m.key, m.escaped) {
			return p.invalidJSONAt(m.keyAt, "the key "+strconv.Quote(string(key))+" appears twice")
		}
		if err := p.field(key); err != nil {
			return err
		}
	}
	if p.problem != "" || !p.end() {
		return p.invalidJSON()
	}
	return p.complete()
}

// encoding tells the mistakes that would otherwise be reported as a strange
// first byte.
func (p *parser) encoding() *Error {
	b := p.b
	switch {
	case len(b) == 0:
		return p.invalidJSONAt(0, "the body is empty")
	case len(b) >= 2 && (b[0] == 0 || b[1] == 0 || b[0] == 0xFE && b[1] == 0xFF || b[0] == 0xFF && b[1] == 0xFE):
		return p.invalidJSONAt(0, "the body is not UTF-8 (it looks like UTF-16 or UTF-32); send it as UTF-8")
	case bytes.HasPrefix(b, []byte("\xEF\xBB\xBF")):
		return p.invalidJSONAt(0, "the body starts with a byte order mark; send it without")
	}
	return nil
}

// repeated records a top-level key and reports whether it was there before.
// Two spellings of one key are the same key.
func (p *parser) repeated(key []byte, at span, escaped bool) bool {
	if p.more == nil && !escaped && p.count < len(p.keys) {
		for _, k := range p.keys[:p.count] {
			if k.to-k.from == len(key) && bytes.Equal(k.of(p.b), key) {
				return true
			}
		}
		p.keys[p.count] = at
		p.count++
		return false
	}
	if p.more == nil {
		p.more = make(map[string]bool, 2*p.count+8)
		for _, k := range p.keys[:p.count] {
			p.more[string(k.of(p.b))] = true
		}
	}
	if p.more[string(key)] {
		return true
	}
	p.more[string(key)] = true
	return false
}

// complete checks what can only be said at the end, and settles the splice
// that asks for usage.
func (p *parser) complete() *Error {
	h := &p.head
	h.PromptBytes -= p.pictures
	switch {
	case len(h.Model) == 0:
		return Missing("model", "Name the model, as GET /v1/models lists it.")
	case h.Kind == Chat && !p.hasPrompt:
		return invalidMessages("messages", "messages is missing; send a list of at least one message.")
	case h.Kind == Completions && !p.hasPrompt:
		return Missing("prompt", "Send the text to complete.")
	case h.Kind == Embeddings && !p.hasPrompt:
		return Missing("input", "Send the text, or the list of texts, to embed.")
	case h.Kind == Rerank && !p.hasPrompt:
		return Missing("query", "Send the query, and the documents to put in order.")
	case h.Kind == Score && !p.hasPrompt:
		return Missing("text_1", "Send the texts to compare, as text_1 and text_2.")
	case h.Kind == Tokenize && !p.hasPrompt:
		return Missing("prompt", "Send the text, or the messages, to count.")
	case h.Kind == Detokenize && !p.hasPrompt:
		return Missing("tokens", "Send the list of tokens.")
	case h.Kind == Foreign:
		return nil // what else it must have is the translator's to say
	case h.Stream && !h.Kind.Generates():
		return invalid("stream", "stream must be false here: this path does not stream.")
	case !h.Stream && !p.options.empty():
		return invalid("stream_options", "stream_options is allowed only together with \"stream\": true.")
	case !h.Stream || h.IncludeUsage || !h.insert.empty() || h.text != "":
		return nil
	}
	// The client said nothing of stream_options.
	h.insert, h.text = span{p.streamEnd, p.streamEnd}, `,"stream_options":{"include_usage":true}`
	return nil
}

const codeInvalidJSON = "invalid_json"

func (p *parser) invalidJSON() *Error { return p.invalidJSONAt(p.at, p.problem) }

func (p *parser) invalidJSONAt(offset int, what string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Type: InvalidRequest, Code: codeInvalidJSON,
		Message: "The body is not a valid JSON object: at byte " + strconv.Itoa(offset) + ", " + what + ".",
	}
}

func invalid(param, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Type: InvalidRequest, Code: "invalid_value", Param: param, Message: message}
}

// Missing says that a field is missing, and what to do.
func Missing(param, todo string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Type: InvalidRequest, Code: "missing_required_parameter", Param: param,
		Message: param + " is missing. " + todo,
	}
}

func invalidMessages(param, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Type: InvalidRequest, Code: "invalid_messages", Param: param, Message: message}
}
