package responses_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/responses"
)

func body(fields string) string { return `{"model":"m",` + fields + `}` }

func TestRequest_becomesAChat(t *testing.T) {
	t.Parallel()
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	for name, tt := range map[string]struct{ in, want string }{
		"the least": {`"input":"hi"`, hi},
		"all the knobs": {
			`"input":"hi","store":false,"previous_response_id":null,"max_output_tokens":9,"temperature":0.50,"top_p":0.9,"stream":true,"user":"u","parallel_tool_calls":false,` +
				`"reasoning":{"effort":"low","summary":"auto"},"metadata":{"a":"b"},"service_tier":"auto","include":["reasoning.encrypted_content"],"truncation":"disabled","text":{"format":{"type":"text"},"verbosity":"low"},"background":false`,
			hi + `,"max_tokens":9,"temperature":0.50,"top_p":0.9,"parallel_tool_calls":false,"reasoning_effort":"low","user":"u","stream":true,"stream_options":{"include_usage":true}`,
		},
		"instructions and developers are one prompt": {
			`"instructions":"Be brief.","input":[{"role":"developer","content":"Be kind."},{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},{"role":"system","content":"Now."}]`,
			`"messages":[{"role":"system","content":"Be brief.\n\nBe kind."},{"role":"user","content":"hi"},{"role":"system","content":"Now."}]`,
		},
		"a picture": {
			`"input":[{"role":"user","content":[{"type":"input_text","text":"<what>?"},{"type":"input_image","image_url":"data:image/png;base64,AA","detail":"low"}]}]`,
			`"messages":[{"role":"user","content":[{"type":"text","text":"<what>?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA","detail":"low"}}]}]`,
		},
		"a whole conversation": {
			`"input":[{"role":"user","content":"weather?"},{"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hmm"}]},` +
				`{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Let me see.","annotations":[]}]},` +
				`{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"city\":\"Paris\"}"},{"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},` +
				`{"type":"function_call_output","call_id":"c1","output":"sun"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"rain"}]},` +
				`{"role":"assistant","content":"One."},{"role":"assistant","content":[{"type":"refusal","refusal":"No."}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"so"}]},{"type":"function_call","call_id":"c3","name":"h","arguments":""}]`,
			`"messages":[{"role":"user","content":"weather?"},{"role":"assistant","content":"Let me see.","reasoning_content":"hmm","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"city\":\"Paris\"}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},` +
				`{"role":"tool","content":"sun","tool_call_id":"c1"},{"role":"tool","content":"rain","tool_call_id":"c2"},{"role":"assistant","content":"One."},{"role":"assistant","content":"No."},` +
				`{"role":"assistant","reasoning_content":"so","tool_calls":[{"id":"c3","type":"function","function":{"name":"h","arguments":""}}]}]`,
		},
		"functions": {
			`"input":"hi","tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},{"type":"function","name":"g","parameters":null}],"tool_choice":{"type":"function","name":"f"}`,
			hi + `,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g"}}],"tool_choice":{"type":"function","function":{"name":"f"}}`,
		},
		"a word": {`"input":"hi","tool_choice":"required"`, hi + `,"tool_choice":"required"`},
		"a schema": {
			`"input":"hi","text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}}`,
			hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}}`,
		},
		"any JSON": {`"input":"hi","text":{"format":{"type":"json_object"}}`, hi + `,"response_format":{"type":"json_object"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, refused := new(responses.Responses).Request([]byte(body(tt.in)))
			if refused != nil {
				t.Fatal(refused)
			}
			if diff := cmp.Diff(body(tt.want), string(out)); diff != "" {
				t.Error(diff)
			}
			if _, refused := openai.ParseHead(openai.Chat, out); refused != nil {
				t.Error(refused)
			}
		})
	}
}

func TestRequest_refusesWhatCannotBeTranslated(t *testing.T) {
	t.Parallel()
	item := func(in string) string { return `"input":[` + in + `]` }
	part := func(in string) string { return item(`{"role":"user","content":[` + in + `]}`) }
	for name, tt := range map[string]struct{ in, code, param string }{
		"to be stored":        {`"input":"hi","store":true`, "unsupported_parameter", "store"},
		"an earlier one":      {`"input":"hi","previous_response_id":"resp_1"`, "unsupported_parameter", "previous_response_id"},
		"a conversation":      {`"input":"hi","conversation":"conv_1"`, "unsupported_parameter", "conversation"},
		"a stored prompt":     {`"input":"hi","prompt":{"id":"p"}`, "unsupported_parameter", "prompt"},
		"in the background":   {`"input":"hi","background":true`, "unsupported_parameter", "background"},
		"truncated":           {`"input":"hi","truncation":"auto"`, "unsupported_parameter", "truncation"},
		"log probabilities":   {`"input":"hi","top_logprobs":3`, "unsupported_parameter", "top_logprobs"},
		"no input":            {`"instructions":"x"`, "missing_required_parameter", "input"},
		"an empty input":      {`"input":[]`, "missing_required_parameter", "input"},
		"input a number":      {`"input":1`, "invalid_value", "input"},
		"an item a string":    {`"input":["hi"]`, "invalid_value", "input"},
		"role":                {item(`{"role":"robot","content":"x"}`), "invalid_value", "input[0].role"},
		"no content":          {item(`{"role":"user"}`), "invalid_value", "input[0].content"},
		"a reference":         {item(`{"type":"item_reference","id":"x"}`), "unsupported_parameter", "input[0]"},
		"an odd item":         {item(`{"type":"web_search_call"}`), "unsupported_parameter", "input[0]"},
		"B13 a picture's URL": {part(`{"type":"input_image","image_url":"https://x"}`), "media_not_allowed", "input[0].content[0]"},
		"a picture's file":    {part(`{"type":"input_image","file_id":"f"}`), "media_not_allowed", "input[0].content[0]"},
		"B13 in a result":     {item(`{"type":"function_call_output","output":[{"type":"input_image","image_url":"file:///x"}]}`), "media_not_allowed", "input[0].output[0]"},
		"a file":              {part(`{"type":"input_file","file_id":"f"}`), "unsupported_parameter", "input[0].content[0]"},
		"an odd part":         {part(`{"type":"input_audio"}`), "unsupported_parameter", "input[0].content[0]"},
		"a developer's picture": {
			item(`{"role":"developer","content":[{"type":"input_image","image_url":"data:image/png;base64,AA"}]}`), "invalid_value", "input[0].content",
		},
		"thoughts a string": {item(`{"type":"reasoning","content":"x"}`), "invalid_value", "input[0].content"},
		"a tool of theirs":  {`"input":"hi","tools":[{"type":"web_search"}]`, "unsupported_parameter", "tools[0].type"},
		"an odd choice":     {`"input":"hi","tool_choice":{"type":"allowed_tools"}`, "invalid_value", "tool_choice"},
		"an odd word":       {`"input":"hi","tool_choice":"some"`, "invalid_value", "tool_choice"},
		"an odd format":     {`"input":"hi","text":{"format":{"type":"xml"}}`, "invalid_value", "text.format.type"},
		"no schema":         {`"input":"hi","text":{"format":{"type":"json_schema","name":"x"}}`, "invalid_value", "text.format"},
		"text a number":     {`"input":"hi","text":7`, "invalid_value", "text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, refused := new(responses.Responses).Request([]byte(body(tt.in)))
			if refused == nil {
				t.Fatalf("accepted as %s", out)
			}
			if refused.Status != 400 || refused.Code != tt.code || refused.Param != tt.param || !strings.Contains(refused.Message, tt.param) {
				t.Errorf("got %d %s %s: %s", refused.Status, refused.Code, refused.Param, refused.Message)
			}
		})
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(body(`"instructions":"i","input":[{"role":"developer","content":"d"},{"role":"user","content":[{"type":"input_text","text":"t"},{"type":"input_image","image_url":"data:image/png;base64,AA"}]},{"type":"reasoning","content":[{"text":"t"}]},{"type":"function_call","call_id":"c","name":"n","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"o"}]`)))
	f.Add([]byte(body(`"input":"x","tools":[{"type":"function","name":"n","parameters":{"type":"object"}}],"tool_choice":{"type":"function","name":"n"},"stream":true,"text":{"format":{"type":"json_schema","name":"n","schema":{}}},"reasoning":{"effort":"low"}`)))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, refused := openai.ParseHead(openai.Foreign, in); refused != nil {
			return
		}
		r := new(responses.Responses)
		out, refused := r.Request(in)
		if refused != nil {
			if refused.Status != 400 || refused.Message == "" {
				t.Fatalf("refused with %+v", refused)
			}
			return
		}
		head, refused := openai.ParseHead(openai.Chat, out)
		if !json.Valid(out) || refused == nil && (len(head.Model) == 0 || head.Stream && !head.IncludeUsage) {
			t.Fatalf("becomes %s", out)
		}
		// What an answer repeats of the request can be written.
		if answer, err := r.Answer([]byte(`{"choices":[{"message":{"content":"x"}}]}`)); err != nil || !json.Valid(answer) {
			t.Fatalf("answer %s, %v", answer, err)
		}
	})
}
