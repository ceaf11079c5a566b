package chat

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// Source is where in the client's request a message comes from, in the
// translator's own counting.
type Source struct {
	Turn, Block int
	Calls       []int // of each of its tool calls
}

// Sources returns those of the messages.
func (r *Request) Sources() []Source {
	list := make([]Source, len(r.Messages))
	for i := range r.Messages {
		list[i] = r.Messages[i].From
	}
	return list
}

// Field is the name of a chat completion's field: messages[3].content is
// "messages", "3" and "content".
type Field []string

// fieldOf reads a name as engines write it, OpenAI's messages.[3].content and
// vLLM's body.messages.3.SomeClass.content among them.
func fieldOf(name string) Field {
	words := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(".[](),' ", r) })
	words = slices.DeleteFunc(words, func(word string) bool { return !plain.MatchString(word) })
	if len(words) > 1 && words[0] == "body" {
		words = words[1:]
	}
	return words
}

// plain is a word that might be a client's; others are an engine's own classes.
var plain = regexp.MustCompile(`^(?:[a-z][a-z_]*|\d+)$`)

// In returns the number that stands at a place, -1 if there is none below limit.
func (f Field) In(place, limit int) int {
	if place < len(f) {
		if n, err := strconv.Atoi(f[place]); err == nil && n >= 0 && n < limit {
			return n
		}
	}
	return -1
}

// Word returns what stands at a place, "" for nothing. What is in a function
// counts as what is around it.
func (f Field) Word(place int) string {
	if place < len(f) && f[place] == "function" {
		place++
	}
	if place < len(f) {
		return f[place]
	}
	return ""
}

// Leaf returns the word at a place as the end of a name if it is one of those.
func (f Field) Leaf(place int, words ...string) string {
	if word := f.Word(place); slices.Contains(words, word) {
		return "." + word
	}
	return ""
}

// named finds fields in a text. What might be a plain word is none.
var named = regexp.MustCompile(`\b(?:body\.)?(?:messages|tools)(?:\.?\[\d+\]|\.\d+)(?:\.[A-Za-z]\w*|\.?\[\d+\]|\.\d+)*|` +
	`\('body'(?:, (?:'[^']*'|\d+))+\)|\b(?:max_tokens|response_format|reasoning_effort|tool_call_id)\b`)

// Rename has an error about a chat completion name the client's own fields, as
// theirs returns them, "" for those that are the same.
func Rename(e *openai.Error, theirs func(Field) string) {
	name := func(field string) string {
		if words := fieldOf(field); len(words) > 0 {
			if own := theirs(words); own != "" {
				return own
			}
		}
		return strings.TrimPrefix(field, "body.")
	}
	own, begins := "", ""
	if e.Param != "" {
		own = name(e.Param)
		if rest, ok := strings.CutPrefix(e.Message, e.Param+" "); ok {
			begins, e.Message = own+" ", rest
		}
	}
	e.Param, e.Message = own, begins+named.ReplaceAllStringFunc(e.Message, name)
}
