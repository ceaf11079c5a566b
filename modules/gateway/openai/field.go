package openai

import (
	"bytes"
	"strconv"
)

// What a request may ask for. Beyond these a request is a mistake or an attack
// on the engine, whatever the model.
const (
	maxModelName  = 256
	maxMessages   = 4096
	maxTokenLimit = 10_000_000
	maxChoices    = 128
	maxStops      = 64
	maxLogitBias  = 4096
)

// field handles the top-level member whose value the parser stands before, and
// moves past that value.
func (p *parser) field(key []byte) *Error {
	switch string(key) {
	case "model":
		return p.modelName()
	case "stream":
		return p.streamFlag()
	case "stream_options":
		return p.streamOptions()
	case "max_tokens", "max_completion_tokens":
		from := p.i
		n, err := p.whole(string(key), maxTokenLimit)
		if err != nil && p.head.Kind == Completions && string(bytes.TrimSpace(p.b[from:p.i])) == "0" {
			n, err = 1, nil // nothing is generated, only the prompt's own probabilities told; vLLM asks itself for a token then
		}
		if p.head.MaxTokens = max(p.head.MaxTokens, n); n == 0 && string(key) == "max_tokens" {
			p.head.null = int32(from)
		}
		return err
	case "n":
		n, err := p.whole("n", maxChoices)
		p.head.Choices = int32(max(n, 1))
		return err
	case "temperature":
		return p.within("temperature", 2)
	case "top_p":
		return p.within("top_p", 1)
	case "stop":
		return p.atMost("stop", '[', maxStops)
	case "logit_bias":
		return p.atMost("logit_bias", '{', maxLogitBias)
	case "messages":
		if p.head.Kind == Chat {
			return p.messages()
		}
		return p.prompt(p.head.Kind == Embeddings || p.head.Kind == Tokenize) // vLLM takes conversations there, too
	case "prompt", "prompt_embeds":
		return p.prompt(p.head.Kind == Completions || p.head.Kind == Tokenize)
	case "input":
		return p.prompt(p.head.Kind == Embeddings)
	case "tools":
		return p.tools()
	case "response_format":
		return p.format()
	case "query", "documents", "text_1", "text_2", "data_1", "data_2", "queries", "items": // vLLM has several spellings
		return p.prompt(p.head.Kind == Rerank || p.head.Kind == Score)
	case "tokens":
		return p.prompt(p.head.Kind == Detokenize)
	}
	return p.skip()
}

// skip moves past a value that is not ours to judge.
func (p *parser) skip() *Error { return p.skipAt(maxDepth - 1) }

func (p *parser) skipAt(depth int) *Error {
	if !p.value(depth) {
		return p.invalidJSON()
	}
	return nil
}

func (p *parser) modelName() *Error {
	if p.peek() != '"' {
		return p.wrongType("model", "a string")
	}
	from := p.i
	text, escaped, ok := p.str()
	if !ok {
		return p.invalidJSON()
	}
	name := text.of(p.b)
	if escaped {
		name = unescape(name)
	}
	if len(name) > maxModelName {
		return invalid("model", "model is longer than "+strconv.Itoa(maxModelName)+" bytes.")
	}
	p.head.Model, p.head.model = name, span{from, p.i}
	return nil
}

func (p *parser) streamFlag() *Error {
	on, err := p.flag("stream")
	p.head.Stream, p.streamEnd = on, p.i
	return err
}

// flag reads true, false or null, which means false.
func (p *parser) flag(param string) (on bool, err *Error) {
	from := p.i
	if c := p.peek(); c != 't' && c != 'f' && c != 'n' {
		return false, p.wrongType(param, "true or false")
	}
	err = p.skip()
	return err == nil && p.b[from] == 't', err
}

// streamOptions notes whether usage is asked for, and what must give way so
// that it is.
func (p *parser) streamOptions() *Error {
	from, h := p.i, &p.head
	switch p.peek() {
	case 'n':
		h.insert, h.text = span{from, from + len("null")}, `{"include_usage":true}`
		return p.skip()
	case '{':
	default:
		return p.wrongType("stream_options", "an object")
	}
	m := p.members(maxDepth - 1)
	found, others := false, false
	for m.next() {
		others = true
		if string(m.text()) != "include_usage" {
			if err := p.skip(); err != nil {
				return err
			}
			continue
		}
		if found { // a second one could switch off what we ask for
			return p.invalidJSONAt(m.keyAt, `the key "include_usage" appears twice`)
		}
		found = true
		at := p.i
		on, err := p.flag("stream_options.include_usage")
		if err != nil {
			return err
		}
		if h.IncludeUsage = on; !on {
			h.insert, h.text = span{at, p.i}, "true"
		}
	}
	if p.problem != "" {
		return p.invalidJSON()
	}
	p.options = span{from, p.i}
	switch {
	case found:
	case others:
		h.insert, h.text = span{from + 1, from + 1}, `"include_usage":true,`
	default:
		h.insert, h.text = span{from + 1, from + 1}, `"include_usage":true`
	}
	return nil
}

// whole reads a whole number from 1 to limit, or null, which is 0.
func (p *parser) whole(param string, limit int) (int, *Error) {
	from := p.i
	c := p.peek()
	if err := p.skip(); err != nil || c == 'n' {
		return 0, err
	}
	n, err := strconv.Atoi(string(p.b[from:p.i]))
	if err != nil || n < 1 || n > limit {
		return 0, invalid(param, param+" must be a whole number from 1 to "+strconv.Itoa(limit)+"; it is "+p.shown(from)+".")
	}
	return n, nil
}

// within checks a number from 0 to limit, or null.
func (p *parser) within(param string, limit int) *Error {
	from := p.i
	c := p.peek()
	if err := p.skip(); err != nil || c == 'n' {
		return err
	}
	x, err := strconv.ParseFloat(string(p.b[from:p.i]), 64)
	if err != nil || x < 0 || x > float64(limit) {
		return invalid(param, param+" must be a number from 0 to "+strconv.Itoa(limit)+"; it is "+p.shown(from)+".")
	}
	return nil
}

// atMost counts the elements of an array or the members of an object, if the
// value is one.
func (p *parser) atMost(param string, open byte, limit int) *Error {
	if p.peek() != open {
		return p.skip()
	}
	n := 0
	if open == '[' {
		for e := p.elements(maxDepth - 1); e.next() && p.value(maxDepth-2); {
			n++
		}
	} else {
		for m := p.members(maxDepth - 1); m.next() && p.value(maxDepth-2); {
			n++
		}
	}
	switch {
	case p.problem != "":
		return p.invalidJSON()
	case n > limit:
		return invalid(param, param+" may have at most "+strconv.Itoa(limit)+" entries; it has "+strconv.Itoa(n)+".")
	}
	return nil
}

// prompt notes the value as the request's input if this kind of request has
// its input there.
func (p *parser) prompt(ours bool) *Error {
	if !ours {
		return p.skip()
	}
	from := p.i
	null := p.peek() == 'n'
	err := p.media(maxDepth-1, elsewhere)
	if !null {
		p.hasPrompt = true
		p.head.PromptBytes += p.i - from
		if p.head.Prompt == nil {
			p.head.Prompt = p.b[from:p.i]
		}
	}
	return err
}

// messages checks that there is a message and that each says who speaks.
func (p *parser) messages() *Error {
	from := p.i
	if p.peek() != '[' {
		return invalidMessages("messages", "messages must be a list of messages; it is "+p.shownNext()+".")
	}
	n := 0
	for e := p.elements(maxDepth - 1); e.next(); n++ {
		if err := p.message(n); err != nil {
			return err
		}
	}
	switch {
	case p.problem != "":
		return p.invalidJSON()
	case n == 0:
		return invalidMessages("messages", "messages is empty; send at least one message.")
	case n > maxMessages:
		return invalidMessages("messages", "messages may have at most "+strconv.Itoa(maxMessages)+" entries; it has "+strconv.Itoa(n)+".")
	}
	p.hasPrompt = true
	p.head.PromptBytes, p.head.Prompt = p.i-from, p.b[from:p.i]
	return nil
}

func (p *parser) message(index int) *Error {
	if p.peek() != '{' {
		return invalidMessages(messageParam(index, ""), "A message must be an object with role and content; this one is "+p.shownNext()+".")
	}
	role := false
	m := p.members(maxDepth - 2)
	for m.next() {
		from, c := p.i, p.peek()
		if c == '[' || c == '{' {
			if err := p.contents(m.text(), index); err != nil {
				return err
			}
		} else if !p.value(maxDepth - 3) {
			return p.invalidJSON()
		}
		if m.escaped || string(m.key.of(p.b)) != "role" {
			continue
		}
		role = true
		if c != '"' || !knownRole(p.b[from+1:p.i-1]) {
			return invalidMessages(messageParam(index, ".role"),
				"A message's role must be system, developer, user, assistant, tool or function; it is "+p.shown(from)+".")
		}
	}
	switch {
	case p.problem != "":
		return p.invalidJSON()
	case !role:
		return invalidMessages(messageParam(index, ".role"), "A message has no role; say who speaks, for example user.")
	}
	return nil
}

// contents moves past a list or an object in a message, the value of key.
func (p *parser) contents(key []byte, index int) *Error {
	if string(key) != "content" {
		return p.skipAt(maxDepth - 3)
	}
	err := p.media(maxDepth-3, elsewhere)
	if err != nil && err.Code != codeInvalidJSON {
		err.Param = messageParam(index, ".content")
	}
	return err
}

func knownRole(role []byte) bool {
	switch string(role) {
	case "user", "assistant", "system", "tool", "developer", "function":
		return true
	}
	return false
}

func messageParam(index int, field string) string {
	return "messages[" + strconv.Itoa(index) + "]" + field
}

// wrongType moves past the value to see whether it is JSON at all, and says
// what was wanted instead.
func (p *parser) wrongType(param, wanted string) *Error {
	from := p.i
	if err := p.skip(); err != nil {
		return err
	}
	return invalid(param, param+" must be "+wanted+"; it is "+p.shown(from)+".")
}

// shownNext moves past the next value and quotes it as shown does.
func (p *parser) shownNext() string {
	from := p.i
	if !p.value(maxDepth - 3) {
		return "not JSON"
	}
	return p.shown(from)
}

// shown returns the value between from and the parser for a message: what was
// sent if that is short, else only its kind.
func (p *parser) shown(from int) string {
	text := p.b[from:p.i]
	if len(text) <= 24 {
		return string(text)
	}
	switch text[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return "too long a number"
}
