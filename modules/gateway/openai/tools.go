package openai

import (
	"net/http"
	"strconv"
)

const maxTools = 512

// tools checks what engines have been brought down with: more tools than any
// model can tell apart, a type that is no type, and what schema refuses. Whether
// a schema makes sense is the engine's to judge.
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
	from, typed := p.i, false
	p.refers = false
	for m := p.members(maxDepth - 2); m.next(); {
		key := m.text()
		if string(key) == "type" {
			if typed = true; p.peek() != '"' {
				return invalidTools(param+".type", "A tool's type must be a string, such as function; it is "+p.shownNext()+".")
			}
		}
		if err := p.schema(maxDepth-3, key, false, param); err != nil {
			return err
		}
	}
	switch {
	case p.problem != "":
		return p.invalidJSON()
	case !typed:
		return invalidTools(param+".type", "A tool has no type; say what it is, for example function.")
	}
	return p.references(from, param, "function", "parameters")
}

const codeInvalidTools = "invalid_tools"

func invalidTools(param, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Type: InvalidRequest, Code: codeInvalidTools, Param: param, Message: message}
}
