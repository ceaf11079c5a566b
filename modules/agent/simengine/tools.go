package simengine

import (
	"encoding/json"
	"slices"
	"strings"
)

// tool is a function that the client can call.
type tool struct {
	Function function `json:"function"`
}

type function struct {
	Name       string          `json:"name"`
	Parameters json.RawMessage `json:"parameters"`
}

// called returns the function that the simulator wants called: the one that the
// request demands, any if it demands one, or the first that the question names.
// Once a tool has answered it wants none.
func (q *request) called(asked string) *function {
	var word string
	var one tool
	_ = json.Unmarshal(q.ToolChoice, &word) // one of the two it is
	_ = json.Unmarshal(q.ToolChoice, &one)
	if q.result() != "" {
		return nil
	}
	for i := range q.Tools {
		f := &q.Tools[i].Function
		if word == "required" || one.Function.Name == f.Name || word != "none" && one.Function.Name == "" && f.Name != "" && strings.Contains(asked, f.Name) {
			return f
		}
	}
	return nil
}

// schema is what the simulator understands of a JSON schema.
type schema struct {
	Type       json.RawMessage            `json:"type"`
	Properties map[string]json.RawMessage `json:"properties"`
	Enum       []json.RawMessage          `json:"enum"`
	Const      json.RawMessage            `json:"const"`
}

// example returns JSON that fits a schema, as far as the simulator understands
// it.
func example(raw json.RawMessage) string {
	var s schema
	if json.Unmarshal(raw, &s) != nil {
		return "{}"
	}
	switch {
	case len(s.Const) > 0:
		return string(s.Const)
	case len(s.Enum) > 0:
		return string(s.Enum[0])
	}
	var kinds []string
	var kind string
	if json.Unmarshal(s.Type, &kind) != nil && json.Unmarshal(s.Type, &kinds) == nil && len(kinds) > 0 {
		kind = kinds[0]
	}
	switch kind {
	case "string":
		return `"simulated"`
	case "integer", "number":
		return "0"
	case "boolean":
		return "false"
	case "array":
		return "[]"
	case "null":
		return "null"
	}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	var members []string
	for _, name := range names {
		quoted, _ := json.Marshal(name) // a string always marshals
		members = append(members, string(quoted)+":"+example(s.Properties[name]))
	}
	return "{" + strings.Join(members, ",") + "}"
}
