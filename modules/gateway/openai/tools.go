package openai

import (
	"bytes"
	"net/http"
	"strconv"
)

const (
	maxTools   = 512
	maxPattern = 1 << 10 // bytes of a regular expression in a tool's schema
)

// tools checks what engines have been brought down with: more tools than any
// model can tell apart, a type that is no type, a regular expression like a
// novel, a schema that is somewhere else. Whether a schema makes sense is the
// engine's to judge.
func (p *parser) tools() *Error {
	c := p.peek()
	if p.head.Kind != Chat || c == 'n' {
		return p.skip()
	}
	if c != '[' {
		return invalidTools("tools", "tools must be a list; it is "+p.shownNext()+".")
	}
	n := 0
	for e := p.elements(maxDepth - 1); e.next(); n++ {
		if err := p.tool(n); err != nil {
			return err
		}
	}
	switch {
	case p.problem != "":
		return p.invalidJSON()
	case n > maxTools:
		return invalidTools("tools", "tools may have at most "+strconv.Itoa(maxTools)+" entries; it has "+strconv.Itoa(n)+".")
	}
	return nil
}

func (p *parser) tool(index int) *Error {
	param := "tools[" + strconv.Itoa(index) + "]"
	if p.peek() != '{' {
		return invalidTools(param, "A tool must be an object with type and function; this one is "+p.shownNext()+".")
	}
	typed := false
	for m := p.members(maxDepth - 2); m.next(); {
		key := m.text()
		if string(key) == "type" {
			if typed = true; p.peek() != '"' {
				return invalidTools(param+".type", "A tool's type must be a string, such as function; it is "+p.shownNext()+".")
			}
		}
		if err := p.schema(maxDepth-3, key, param); err != nil {
			return err
		}
	}
	switch {
	case p.problem != "":
		return p.invalidJSON()
	case !typed:
		return invalidTools(param+".type", "A tool has no type; say what it is, for example function.")
	}
	return nil
}

// schema moves past the value of a key in a tool.
func (p *parser) schema(depth int, key []byte, param string) *Error {
	c := p.peek()
	switch string(key) {
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
			if err := p.schema(depth-1, nil, param); err != nil {
				return err
			}
		}
	case '{':
		for m := p.members(depth); m.next(); {
			if err := p.schema(depth-1, m.text(), param); err != nil {
				return err
			}
		}
	case '"':
		text, _, ok := p.str()
		switch value := text.of(p.b); {
		case !ok:
		case string(key) == "pattern" && len(value) > maxPattern:
			return invalidTools(param, "A pattern in a schema may have at most "+strconv.Itoa(maxPattern)+" bytes; one has "+strconv.Itoa(len(value))+".")
		case string(key) == "$ref" && !bytes.HasPrefix(value, []byte("#")):
			return invalidTools(param, "A $ref in a schema must point into the schema itself, as #/… does.")
		}
	default:
		return p.skipAt(depth)
	}
	if p.problem != "" {
		return p.invalidJSON()
	}
	return nil
}

func invalidTools(param, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Type: InvalidRequest, Code: "invalid_tools", Param: param, Message: message}
}
