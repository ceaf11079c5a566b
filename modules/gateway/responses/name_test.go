package responses_test

import (
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/responses"
)

func TestRename_namesTheClientsFields(t *testing.T) {
	t.Parallel()
	r := &responses.Responses{ID: "7"}
	if _, refused := r.Request([]byte(body(`"instructions":"i","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:,"}]},
		{"type":"reasoning","content":[{"type":"reasoning_text","text":"hm"}]},{"role":"assistant","content":"so"},
		{"type":"function_call","call_id":"a","name":"f"},{"type":"function_call","call_id":"b","name":"f"},
		{"type":"function_call_output","call_id":"b","output":"x"}],"tools":[{"type":"function","name":"f"}]`))); refused != nil {
		t.Fatal(refused)
	}
	for chats, own := range map[string]string{
		"messages":                                   "input",
		"messages[0].content":                        "instructions",
		"messages[1]":                                "input[0]",
		"messages[1].role":                           "input[0].role",
		"messages[1].content":                        "input[0].content",
		"messages[1].content[1].image_url.url":       "input[0].content[1]",
		"messages[2].reasoning_content":              "input[1]",
		"messages[2].content":                        "input[2].content",
		"messages[2].tool_calls":                     "input[1]",
		"messages[2].tool_calls[1].function.name":    "input[4].name",
		"messages[2].tool_calls[0].id":               "input[3].call_id",
		"messages.2.tool_calls.0.function.arguments": "input[3].arguments",
		"messages[3].tool_call_id":                   "input[5].call_id",
		"messages[3].content":                        "input[5].output",
		"messages.[3].tool_call_id":                  "input[5].call_id",
		"body.messages.3.ChatCompletionToolMessageParam.tool_call_id":  "input[5].call_id",
		"('body', 'messages', 1, 'typed-dict', 'content', 1, 'image')": "input[0].content[1]",
		"('body', 'stop', 'list[str]')":                                "('body', 'stop', 'list[str]')",
		"body.temperature":                                             "temperature",
		"...":                                                          "...",
		"messages[4].content":                                          "input",
		"tools[0].function.parameters":                                 "tools[0].parameters",
		"tools[9]":                                                     "tools[9]",
		"max_tokens":                                                   "max_output_tokens",
		"response_format":                                              "text.format",
		"temperature":                                                  "temperature",
		"":                                                             "",
	} {
		e := &openai.Error{Param: chats, Message: chats + " is wrong: see messages[9] and response_format, 'loc': ('body', 'messages', 3, 'X', 'content')."}
		r.Rename(e)
		if want := own + " is wrong: see input and text.format, 'loc': input[5].output."; e.Param != own || e.Message != want {
			t.Errorf("%s: %s: %s, want %s", chats, e.Param, e.Message, want)
		}
	}
	whole := new(responses.Responses)
	if _, refused := whole.Request([]byte(body(`"input":"hi"`))); refused != nil {
		t.Fatal(refused)
	}
	e := &openai.Error{Param: "messages[0].content", Message: "It stops."}
	if whole.Rename(e); e.Param != "input" || e.Message != "It stops." {
		t.Errorf("a text: %+v", e)
	}
}
