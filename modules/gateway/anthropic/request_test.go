package anthropic_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/anthropic"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// body is a request with more fields.
func body(more string) string { return `{"model":"m","max_tokens":9,` + more + `}` }

func translated(t *testing.T, in string) string {
	t.Helper()
	out, refused := new(anthropic.Messages).Request([]byte(in))
	if refused != nil {
		t.Fatalf("%s: %v", in, refused)
	}
	if _, refused := openai.ParseHead(openai.Chat, out); refused != nil {
		t.Fatalf("%s becomes %s: %v", in, out, refused)
	}
	return string(out)
}

func TestRequest_becomesAChat(t *testing.T) {
	t.Parallel()
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	for name, tt := range map[string]struct{ in, want string }{
		"the least": {hi, hi + `,"max_tokens":9`},
		"all the knobs": {
			hi + `,"temperature":0.50,"top_p":0.9,"top_k":5,"stop_sequences":["a","b"],"stream":true,"metadata":{"user_id":"u"},"service_tier":"auto","output_config":{"effort":"max"}`,
			hi + `,"max_tokens":9,"temperature":0.50,"top_p":0.9,"top_k":5,"stop":["a","b"],"reasoning_effort":"high","user":"u","stream":true,"stream_options":{"include_usage":true}`,
		},
		"a system prompt": {
			`"system":"Be brief.",` + hi, `"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}],"max_tokens":9`,
		},
		"a system prompt in parts": {
			`"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}},{"type":"text","text":"Be kind."}],` + hi,
			`"messages":[{"role":"system","content":"Be brief.\nBe kind."},{"role":"user","content":"hi"}],"max_tokens":9`,
		},
		"texts and pictures": {
			`"messages":[{"role":"user","content":[{"type":"text","text":"<what> & why?"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"page"}}]}]`,
			`"messages":[{"role":"user","content":[{"type":"text","text":"<what> & why?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},{"type":"text","text":"page"}]}],"max_tokens":9`,
		},
		"tools": {
			hi + `,"tools":[{"name":"f","description":"d","input_schema":{"type":"object", "x":1.0}},{"type":"custom","name":"g","strict":true}],"tool_choice":{"type":"any","disable_parallel_tool_use":true}`,
			hi + `,"max_tokens":9,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","x":1.0}}},{"type":"function","function":{"name":"g","strict":true}}],"tool_choice":"required","parallel_tool_calls":false`,
		},
		"one tool": {hi + `,"tool_choice":{"type":"tool","name":"f"}`, hi + `,"max_tokens":9,"tool_choice":{"type":"function","function":{"name":"f"}}`},
		"no tool":  {hi + `,"tool_choice":{"type":"none"}`, hi + `,"max_tokens":9,"tool_choice":"none"`},
		"uses and results": {
			`"messages":[{"role":"user","content":"weather?"},
				{"role":"assistant","content":[{"type":"thinking","thinking":"hmm","signature":"s"},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"Let me see."},{"type":"tool_use","id":"t1","name":"f","input":{"city": "Paris"}},{"type":"tool_use","id":"t2","name":"g","input":null}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"sun"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},{"type":"tool_result","tool_use_id":"t2","is_error":true},{"type":"text","text":"well?"}]}]`,
			`"messages":[{"role":"user","content":"weather?"},{"role":"assistant","content":"Let me see.","reasoning_content":"hmm","tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"city\": \"Paris\"}"}},{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},` +
				`{"role":"tool","content":"sun","tool_call_id":"t1"},{"role":"tool","content":"The tool failed.","tool_call_id":"t2"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}},{"type":"text","text":"well?"}]}],"max_tokens":9`,
		},
		"the beginning of the answer": {
			`"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"{"}]`,
			`"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"{"}],"max_tokens":9,"continue_final_message":true,"add_generation_prompt":false`,
		},
		"a system's turn": {
			`"messages":[{"role":"user","content":"hi"},{"role":"system","content":"Now."}]`,
			`"messages":[{"role":"user","content":"hi"},{"role":"system","content":"Now."}],"max_tokens":9`,
		},
		"an empty turn": {`"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[]}]`, hi + `,"max_tokens":9`},
		"a schema": {
			hi + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`,
			hi + `,"max_tokens":9,"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"},"strict":true}}`,
		},
		"a schema, as older SDKs send it": {
			hi + `,"output_format":{"type":"json_schema","schema":{"type":"object"}}`,
			hi + `,"max_tokens":9,"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"},"strict":true}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(`{"model":"m",`+tt.want+`}`, translated(t, body(tt.in))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequest_refusesWhatCannotBeTranslated(t *testing.T) {
	t.Parallel()
	part := func(block string) string { return body(`"messages":[{"role":"user","content":[` + block + `]}]`) }
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	for name, tt := range map[string]struct{ in, code, param string }{
		"no max_tokens":       {`{"model":"m",` + hi + `}`, "missing_required_parameter", "max_tokens"},
		"no messages":         {body(`"system":"x"`), "missing_required_parameter", "messages"},
		"nothing said":        {body(`"messages":[{"role":"assistant","content":[]}]`), "invalid_value", "messages"},
		"messages a string":   {body(`"messages":"hi"`), "invalid_value", "messages"},
		"a message a number":  {body(`"messages":[1]`), "invalid_value", "messages"},
		"role":                {body(`"messages":[{"role":"robot","content":"x"}]`), "invalid_value", "messages.0.role"},
		"a system's picture":  {body(`"messages":[{"role":"system","content":[{"type":"image"}]}]`), "invalid_value", "messages.0.content.0"},
		"no content":          {body(`"messages":[{"role":"user"}]`), "invalid_value", "messages.0.content"},
		"content a number":    {body(`"messages":[{"role":"user","content":1}]`), "invalid_value", "messages.0.content"},
		"system a number":     {body(hi + `,"system":1`), "invalid_value", "system"},
		"system a picture":    {body(hi + `,"system":[{"type":"image"}]`), "invalid_value", "system.0"},
		"B13 a picture's URL": {part(`{"type":"image","source":{"type":"url","url":"https://x"}}`), "media_not_allowed", "messages.0.content.0.source"},
		"a file":              {part(`{"type":"image","source":{"type":"file","file_id":"f"}}`), "media_not_allowed", "messages.0.content.0.source"},
		"B13 in a result":     {part(`{"type":"tool_result","content":[{"type":"image","source":{"type":"url"}}]}`), "media_not_allowed", "messages.0.content.0.content.0.source"},
		"a picture of text":   {part(`{"type":"image","source":{"type":"base64","media_type":"text/html,x"}}`), "invalid_value", "messages.0.content.0.source.media_type"},
		"a PDF":               {part(`{"type":"document","source":{"type":"base64"}}`), "unsupported_parameter", "messages.0.content.0"},
		"an odd block":        {part(`{"type":"search_result"}`), "unsupported_parameter", "messages.0.content.0"},
		"a picture of the assistant": {
			body(`"messages":[{"role":"assistant","content":[{"type":"image"}]}]`), "unsupported_parameter", "messages.0.content.0",
		},
		"a tool of theirs": {body(hi + `,"tools":[{"type":"web_search_20250305","name":"web_search"}]`), "unsupported_parameter", "tools.0"},
		"a choice":         {body(hi + `,"tool_choice":{"type":"some"}`), "invalid_value", "tool_choice.type"},
		"MCP":              {body(hi + `,"mcp_servers":[{}]`), "unsupported_parameter", "mcp_servers"},
		"container":        {body(hi + `,"container":"c"`), "unsupported_parameter", "container"},
		"a format":         {body(hi + `,"output_config":{"format":{"type":"text"}}`), "invalid_value", "output_config.format"},
		"stream a string":  {body(hi + `,"stream":"yes"`), "invalid_value", "stream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, refused := new(anthropic.Messages).Request([]byte(tt.in))
			if refused == nil {
				t.Fatalf("accepted as %s", out)
			}
			if refused.Status != 400 || refused.Code != tt.code || refused.Param != tt.param || !strings.Contains(refused.Message, tt.param) {
				t.Errorf("got %d %s %s: %s", refused.Status, refused.Code, refused.Param, refused.Message)
			}
		})
	}
}

func TestCount_asksTheEngine(t *testing.T) {
	t.Parallel()
	var c anthropic.Count
	out, refused := c.Request([]byte(`{"model":"m","system":"s","messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f"}],"tool_choice":{"type":"auto"}}`))
	want := `{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}],"add_generation_prompt":true}`
	if refused != nil || string(out) != want {
		t.Errorf("got %s, %v", out, refused)
	}
	if _, refused := openai.ParseHead(openai.Tokenize, out); refused != nil {
		t.Error(refused)
	}
	if _, refused := c.Request([]byte(`{"model":"m"}`)); refused == nil || refused.Param != "messages" {
		t.Errorf("no messages: %v", refused)
	}
	if _, refused := c.Request([]byte(`{"messages":1}`)); refused == nil || refused.Param != "messages" {
		t.Errorf("messages a number: %v", refused)
	}
	if got, err := c.Answer([]byte(`{"count":0,"tokens":[]}`)); err != nil || string(got) != `{"input_tokens":0}` {
		t.Errorf("got %s, %v", got, err)
	}
	for _, answer := range []string{`{"tokens":[1]}`, `{"count":"1"}`, `[]`} { // llama.cpp's, and nonsense
		if got, err := c.Answer([]byte(answer)); err == nil {
			t.Errorf("%s: %s", answer, got)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(body(`"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"t"},{"type":"tool_use","id":"t","name":"n","input":{}}]}]`)))
	f.Add([]byte(body(`"messages":[{"role":"user","content":"x"}],"tools":[{"name":"n","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"n"},"stream":true,"stop_sequences":["x"],"thinking":{"type":"enabled"}`)))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, refused := openai.ParseHead(openai.Foreign, in); refused != nil {
			return
		}
		out, refused := new(anthropic.Messages).Request(in)
		if refused != nil {
			if refused.Status != 400 || refused.Message == "" {
				t.Fatalf("refused with %+v", refused)
			}
			return
		}
		if !json.Valid(out) || bytes.Contains(out, []byte("http://")) && bytes.Contains(out, []byte(`"image_url":{"url":"http://`)) {
			t.Fatalf("becomes %s", out)
		}
		if head, refused := openai.ParseHead(openai.Chat, out); refused == nil && (len(head.Model) == 0 || head.Stream && !head.IncludeUsage) {
			t.Fatalf("becomes %s", out)
		}
	})
}
