package anthropic_test

import (
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/anthropic"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

func TestRename_namesTheClientsFields(t *testing.T) {
	t.Parallel()
	in := []byte(body(`"system":"s","messages":[{"role":"user","content":"a"},
		{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"tool_use","id":"a","name":"f"},{"type":"tool_use","id":"b","name":"f"}]},
		{"role":"assistant","content":[]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"},{"type":"tool_result","tool_use_id":"b"},{"type":"text","text":"?"}]}],"tools":[{"name":"f"}]`))
	m, c := new(anthropic.Messages), new(anthropic.Count)
	if _, refused := m.Request(in); refused != nil {
		t.Fatal(refused)
	}
	if _, refused := c.Request(in); refused != nil {
		t.Fatal(refused)
	}
	for chats, own := range map[string]string{
		"messages":                                     "messages",
		"messages[0].content":                          "system",
		"messages[1].content":                          "messages.0.content",
		"messages[1].content[0].text":                  "messages.0.content",
		"messages[2]":                                  "messages.1",
		"messages[2].role":                             "messages.1.role",
		"messages[2].tool_calls[1].id":                 "messages.1.content.2.id",
		"messages[2].tool_calls[0].function.name":      "messages.1.content.1.name",
		"messages.2.tool_calls.0.function.arguments.x": "messages.1.content.1.input",
		"messages[2].tool_calls[7]":                    "messages.1",
		"messages[3].tool_call_id":                     "messages.3.content.0.tool_use_id",
		"messages[4].content":                          "messages.3.content.1.content",
		"messages[5].content":                          "messages.3.content",
		"tools[0].function.parameters":                 "tools.0.input_schema",
		"tools[0].function.name":                       "tools.0.name",
		"tools[0]":                                     "tools.0",
		"stop":                                         "stop_sequences",
		"response_format":                              "output_config.format",
		"max_tokens":                                   "max_tokens",
	} {
		for _, rename := range []func(*openai.Error){m.Rename, c.Rename} {
			e := &openai.Error{Param: chats, Message: chats + " is wrong; do stop."}
			if rename(e); e.Param != own || e.Message != own+" is wrong; do stop." {
				t.Errorf("%s: %s: %s, want %s", chats, e.Param, e.Message, own)
			}
		}
	}
}
