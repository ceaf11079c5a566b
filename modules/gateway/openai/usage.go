package openai

import (
	"encoding/json"
	"errors"
	"strconv"
)

// Usage is what an engine says that a request cost it, in tokens.
type Usage struct {
	Prompt     int64
	Completion int64
	Cached     int64 // of the prompt's tokens, those taken from a cache
}

// maxTokens bounds what is believed of one request.
const maxTokens = 1 << 40

// What an answer can be instead of one. They are returned as they are.
var (
	ErrNotAnswer = errors.New("the answer is not a JSON object")
	ErrIsError   = errors.New("the answer is an error")
)

// ParseAnswer checks that a whole answer is one JSON object, and no error in
// spite of its status, and returns the usage in it. ok is false where the engine
// gave none, or one that contradicts itself. The error is ErrNotAnswer or
// ErrIsError.
func ParseAnswer(answer []byte) (u Usage, ok bool, err error) {
	s := scanner{b: answer}
	if s.peek() != '{' {
		return Usage{}, false, ErrNotAnswer
	}
	failed := false
	m := s.members(maxDepth)
	for m.next() {
		switch key := m.key.of(s.b); {
		case string(key) == "usage" && s.peek() == '{':
			u, ok = s.usage(maxDepth - 1)
			continue
		case string(key) == "error":
			failed = s.isError()
		}
		s.value(maxDepth - 1)
	}
	switch {
	case s.problem != "" || !s.end():
		return Usage{}, false, ErrNotAnswer
	case failed:
		return Usage{}, false, ErrIsError
	}
	return u, ok, nil
}

// IsError reports whether the value of a member "error" says that there is one:
// some engines always have the member.
func IsError(value []byte) bool {
	s := scanner{b: value}
	return s.isError()
}

// isError does the same for the value at i. Null, false and an empty text or
// list are none.
func (s *scanner) isError() bool {
	switch s.peek() {
	case 0, 'n', 'f':
		return false
	case '"', '[':
		return s.filled()
	}
	return true
}

// usage reads the usage object at i. ok is false if it makes no sense: a count
// that is not a whole number, a sum that does not add up, more tokens cached
// than sent.
func (s *scanner) usage(depth int) (u Usage, ok bool) {
	total := int64(-1)
	known, prompt := true, false
	m := s.members(depth)
	for m.next() {
		switch string(m.key.of(s.b)) {
		case "prompt_tokens":
			prompt = true
			u.Prompt = s.count(depth-1, &known)
		case "completion_tokens":
			u.Completion = s.count(depth-1, &known)
		case "total_tokens":
			total = s.count(depth-1, &known)
		case "prompt_tokens_details":
			u.Cached = s.cached(depth-1, &known)
		default:
			s.value(depth - 1)
		}
	}
	if !prompt && total >= 0 && u.Completion == 0 { // vLLM's reranker gives the sum alone
		u.Prompt, prompt = total, true
	}
	known = known && prompt && s.problem == "" && u.Cached <= u.Prompt
	if !known || total >= 0 && total != u.Prompt+u.Completion {
		return Usage{}, false
	}
	return u, true
}

// cached reads the count of cached tokens from a details object, or null.
func (s *scanner) cached(depth int, known *bool) (n int64) {
	if s.peek() != '{' {
		s.value(depth)
		return 0
	}
	for m := s.members(depth); m.next(); {
		if string(m.key.of(s.b)) == "cached_tokens" {
			n = s.count(depth-1, known)
		} else {
			s.value(depth - 1)
		}
	}
	return n
}

// count reads a count of tokens; null is none. It clears known for what is not
// a count.
func (s *scanner) count(depth int, known *bool) int64 {
	from, c := s.i, s.peek()
	if !s.value(depth) || c == 'n' {
		return 0
	}
	n, err := strconv.ParseInt(string(s.b[from:s.i]), 10, 64)
	if err != nil || n < 0 || n > maxTokens {
		*known = false
		return 0
	}
	return n
}

// Written returns how many bytes an engine has written in a whole answer, for
// one that did not count its tokens, and whether it holds an answer at all: a
// choice, or an embedding, of which nothing is written.
func Written(answer []byte) (size int, ok bool) {
	var a struct {
		Choices []struct {
			Text    string                     `json:"text"`
			Message map[string]json.RawMessage `json:"message"`
		} `json:"choices"`
		Data []struct{} `json:"data"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return 0, false
	}
	for _, c := range a.Choices {
		size += len(c.Text)
		for name, part := range c.Message {
			if name != "role" && string(part) != "null" {
				size += len(part)
			}
		}
	}
	return size, len(a.Choices)+len(a.Data) > 0
}
