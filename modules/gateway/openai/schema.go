package openai

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// What schemas may have: engines turn them into automata, which grow faster.
const (
	maxPattern = 1 << 10   // bytes of a regular expression
	maxSpread  = 10_000    // symbols of one, with its counted repetitions written out
	maxRefers  = 256 << 10 // bytes of a schema that refers to parts of itself
)

// format checks the schema that an answer is to have. It may refer to itself, as
// trees and lists do: engines have grammars for that.
func (p *parser) format() *Error {
	if p.head.Kind != Chat || p.peek() != '{' {
		return p.skip()
	}
	err := p.schema(maxDepth-1, nil, false, "response_format")
	if err != nil && err.Code == codeInvalidTools {
		err.Code = "invalid_value"
	}
	return err
}

// schema moves past the value of a key in a schema, or of a property's name. It
// refuses a type that is no type, regular expressions that explode, and schemas
// that are somewhere else.
func (p *parser) schema(depth int, key []byte, name bool, param string) *Error {
	c := p.peek()
	keyword := string(key)
	if name {
		keyword = ""
	}
	switch keyword {
	case "const", "default", "enum", "example", "examples": // values, not schemas
		return p.skipAt(depth)
	case "type":
		if c != '"' && c != '[' && c != '{' { // an object is a property of that name
			return invalidTools(param, "A type in a schema must be a string or a list of them; it is "+p.shownNext()+".")
		}
	}
	switch c {
	case '[':
		for e := p.elements(depth); e.next(); {
			if err := p.schema(depth-1, nil, false, param); err != nil {
				return err
			}
		}
	case '{':
		names := holdsNames(keyword)
		for m := p.members(depth); m.next(); {
			if keyword == "patternProperties" {
				if err := checkPattern(m.text(), param); err != nil {
					return err
				}
			}
			if err := p.schema(depth-1, m.text(), names, param); err != nil {
				return err
			}
		}
	case '"':
		text, escaped, ok := p.str()
		if !ok {
			break
		}
		value := text.of(p.b)
		if escaped {
			value = unescape(value)
		}
		switch keyword {
		case "pattern":
			return checkPattern(value, param)
		case "$ref":
			if p.refers = true; !bytes.HasPrefix(value, []byte("#")) {
				return invalidTools(param, "A $ref in a schema must point into the schema itself, as #/… does.")
			}
		}
	default:
		return p.skipAt(depth)
	}
	if p.problem != "" {
		return p.invalidJSON()
	}
	return nil
}

// holdsNames reports whether the members of a keyword's value have names that
// their author has chosen.
func holdsNames(keyword string) bool {
	switch keyword {
	case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
		return true
	}
	return false
}

func checkPattern(pattern []byte, param string) *Error {
	if len(pattern) > maxPattern {
		return invalidTools(param, "A pattern in a schema may have at most "+strconv.Itoa(maxPattern)+" bytes; one has "+strconv.Itoa(len(pattern))+".")
	}
	switch n, ok := spread(pattern); {
	case !ok:
		return invalidTools(param, "A pattern in a schema has a bracket without its partner.")
	case n > maxSpread:
		return invalidTools(param, "A pattern in a schema may have at most "+strconv.Itoa(maxSpread)+" symbols with its repetitions, such as {1,100}, written out.")
	}
	return nil
}

// spread returns how many symbols a regular expression has when its counted
// repetitions are written out, up to a little more than what is allowed; ok is
// false if its brackets do not match. It knows no dialect: those that are in use
// agree on this much, and people's validators write what RE2 does not take.
func spread(re []byte) (n int, ok bool) {
	var outer []int // what comes before the groups that are open
	last := 0       // symbols of what a repetition would repeat
	for i := 0; i < len(re); i++ {
		switch re[i] {
		case '(':
			outer = append(outer, n)
			n, last = 0, 0
			continue
		case ')':
			if len(outer) == 0 {
				return 0, false
			}
			last, n = n, n+outer[len(outer)-1]
			outer = outer[:len(outer)-1]
			continue
		case '*', '+', '?':
			continue
		case '{':
			if times, size := repetition(re[i:]); size > 0 {
				n = min(n+last*(times-1), maxSpread+1)
				last = min(last*times, maxSpread+1)
				i += size - 1
				continue
			}
		case '\\':
			i++
		case '[':
			for i++; i < len(re) && re[i] != ']'; i++ {
				if re[i] == '\\' {
					i++
				}
			}
			if i >= len(re) {
				return 0, false
			}
		}
		n, last = min(n+1, maxSpread+1), 1
	}
	return n, len(outer) == 0
}

// repetition reads {3}, {3,} or {3,5} and returns the highest number in it, at
// least 1, and its size; 0 if it is none.
func repetition(re []byte) (times, size int) {
	text, _, closed := bytes.Cut(re[1:], []byte("}"))
	low, high, _ := strings.Cut(string(text), ",")
	if !closed || strings.Trim(low+high, "0123456789") != "" || low == "" {
		return 0, 0
	}
	for _, digits := range []string{low, high} {
		n, err := strconv.Atoi(digits)
		if err != nil && digits != "" {
			n = maxSpread + 1 // out of range
		}
		times = max(times, min(n, maxSpread+1))
	}
	return max(times, 1), len(text) + len("{}")
}

// references refuses a schema, under a path in the value that began at from,
// that contains itself: written out, it has no end.
func (p *parser) references(from int, param string, path ...string) *Error {
	if !p.refers {
		return nil
	}
	text := p.b[from:p.i]
	if len(text) > maxRefers {
		return invalidTools(param, "A schema with $ref may have at most "+strconv.Itoa(maxRefers)+" bytes; it has "+strconv.Itoa(len(text))+".")
	}
	var root any
	_ = json.Unmarshal(text, &root) // it was looked at; a number out of range stops nothing
	for _, name := range path {
		in, _ := root.(map[string]any)
		root = in[name]
	}
	r := references{root: root, open: make(map[string]bool)}
	if r.circle(root) {
		return invalidTools(param, "A $ref in a schema leads back to itself. Write out as many levels as you need.")
	}
	return nil
}

// references follows the references of a schema.
type references struct {
	root any
	open map[string]bool // by what was referred to: whether it is being followed, or was
}

// circle reports whether a part of the schema leads to one being followed.
func (r *references) circle(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, r.circle)
	case map[string]any:
		for key, e := range v {
			if ref, ok := e.(string); ok && key == "$ref" && r.follow(ref) || r.circle(e) {
				return true
			}
		}
	}
	return false
}

func (r *references) follow(ref string) bool {
	pointer := strings.TrimPrefix(ref, "#")
	if plain, err := url.PathUnescape(pointer); err == nil {
		pointer = plain
	}
	if open, seen := r.open[pointer]; seen {
		return open
	}
	r.open[pointer] = true
	back := r.circle(r.at(pointer))
	r.open[pointer] = false
	return back
}

// at returns what a JSON pointer points to; nil for nothing.
func (r *references) at(pointer string) any {
	at := r.root
	for i, name := range strings.Split(pointer, "/") {
		if i == 0 {
			continue // before the first slash is nothing
		}
		switch in := at.(type) {
		case map[string]any:
			at = in[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(in) {
				return nil
			}
			at = in[n]
		default:
			return nil
		}
	}
	return at
}
