package anthropic_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/anthropic"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// thinking returns a translator whose client wants to see the reasoning, or not.
func thinking(t testing.TB, shown bool) *anthropic.Messages {
	t.Helper()
	m, more := &anthropic.Messages{ID: "7"}, ""
	if shown {
		more = `,"thinking":{"type":"enabled","budget_tokens":1024}`
	}
	if _, refused := m.Request([]byte(body(`"messages":[{"role":"user","content":"hi"}]` + more))); refused != nil {
		t.Fatal(refused)
	}
	return m
}

func TestAnswer_becomesAMessage(t *testing.T) {
	t.Parallel()
	const counts = `"usage":{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}`
	const used = `"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":2}}`
	for name, tt := range map[string]struct{ message, finish, content, reason string }{
		"text":                 {`"content":"hi"`, `"stop"`, `{"type":"text","text":"hi"}`, `"end_turn","stop_sequence":null`},
		"cut off":              {`"content":"hi"`, `"length"`, `{"type":"text","text":"hi"}`, `"max_tokens","stop_sequence":null`},
		"a stop sequence":      {`"content":"hi"`, `"stop","stop_reason":"END"`, `{"type":"text","text":"hi"}`, `"stop_sequence","stop_sequence":"END"`},
		"a stop token":         {`"content":"hi"`, `"stop","stop_reason":128001`, `{"type":"text","text":"hi"}`, `"end_turn","stop_sequence":null`},
		"refused":              {`"content":null,"refusal":"no"`, `"content_filter"`, `{"type":"text","text":"no"}`, `"refusal","stop_sequence":null`},
		"nothing":              {`"content":null`, `"stop"`, ``, `"end_turn","stop_sequence":null`},
		"thoughts":             {`"reasoning_content":"hmm","content":"hi"`, `"stop"`, `{"type":"thinking","thinking":"hmm","signature":""},{"type":"text","text":"hi"}`, `"end_turn","stop_sequence":null`},
		"thoughts, newer name": {`"reasoning":"hmm","content":""`, `"stop"`, `{"type":"thinking","thinking":"hmm","signature":""}`, `"end_turn","stop_sequence":null`},
		"tools": {
			`"content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]`, `"stop"`,
			`{"type":"tool_use","id":"c1","name":"f","input":{"a":1}},{"type":"tool_use","id":"c2","name":"g","input":{}}`, `"tool_use","stop_sequence":null`,
		},
		"tools without ids": {
			`"content":"hi","tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":"{}"}}]`, `"stop"`,
			`{"type":"text","text":"hi"},{"type":"tool_use","id":"toolu_7_1","name":"f","input":{}},{"type":"tool_use","id":"toolu_7_2","name":"f","input":{}}`, `"tool_use","stop_sequence":null`,
		},
		"an unfinished tool": {
			`"tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"a\":"}}]`, `"length"`,
			`{"type":"tool_use","id":"c1","name":"f","input":{"unfinished_input":"{\"a\":"}}`, `"max_tokens","stop_sequence":null`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := `{"id":"chatcmpl-7","model":"m","choices":[{"index":0,"message":{"role":"assistant",` + tt.message + `},"finish_reason":` + tt.finish + `}],` + counts + `}`
			got, err := thinking(t, true).Answer([]byte(in))
			want := `{"id":"msg_7","type":"message","role":"assistant","model":"m","content":[` + tt.content + `],"stop_reason":` + tt.reason + `,` + used
			if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	hidden, err := thinking(t, false).Answer([]byte(`{"choices":[{"message":{"reasoning":"hmm","content":"hi"}}]}`))
	if err != nil || strings.Contains(string(hidden), "hmm") {
		t.Errorf("not asked for: %s, %v", hidden, err)
	}
	for _, in := range []string{`{}`, `{"choices":[]}`, `{"choices":[{"message":7}]}`, `[]`} {
		if got, err := new(anthropic.Messages).Answer([]byte(in)); err == nil {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}

func chunk(delta, finish string) string {
	return `data: {"id":"chatcmpl-7","model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}` + "\n\n"
}

const (
	counts = `data: {"id":"chatcmpl-7","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}` + "\n\n"
	done   = "data: [DONE]\n\n"
)

// short writes events as their types with what is new in them.
func short(t *testing.T, events []byte) string {
	t.Helper()
	var out []string
	for event := range strings.SplitSeq(strings.TrimSpace(string(events)), "\n\n") {
		name, data, ok := strings.Cut(strings.TrimPrefix(event, "event: "), "\ndata: ")
		var e struct {
			Type  string
			Index int
			Block struct{ Type string } `json:"content_block"`
			Delta struct {
				Text, Thinking string
				JSON           string `json:"partial_json"`
				Reason         string `json:"stop_reason"`
			}
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil || !ok || e.Type != name {
			t.Fatalf("event %q: %v", event, err)
		}
		text := e.Block.Type + e.Delta.Text + e.Delta.Thinking + e.Delta.JSON + e.Delta.Reason + e.Error.Type
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(name, "content_block_"), "message_")+":"+text)
	}
	return strings.Join(out, " ")
}

func TestEvents_tellAStory(t *testing.T) {
	t.Parallel()
	call := func(index, head, arguments string) string {
		return `{"tool_calls":[{"index":` + index + head + `,"function":{` + arguments + `}}]}`
	}
	for name, tt := range map[string]struct{ in, want string }{
		"text": {chunk(`{"role":"assistant","content":""}`, "null") + chunk(`{"content":"hi"}`, "null") + chunk(`{}`, `"stop"`) + counts + done, "start: ping: start:text delta:hi stop: delta:end_turn stop:"},
		"thoughts first": {
			chunk(`{"reasoning":"h"}`, "null") + chunk(`{"reasoning_content":"m"}`, "null") + chunk(`{"content":"hi"}`, `"length"`) + done,
			"start: ping: start:thinking delta:h delta:m stop: start:text delta:hi stop: delta:max_tokens stop:",
		},
		"two tools": {
			chunk(call("0", `,"id":"a"`, `"name":"f"`), "null") + chunk(call("0", "", `"arguments":"{"`), "null") + chunk(call("0", "", `"arguments":"}"`), "null") +
				chunk(call("1", `,"id":"b"`, `"name":"f","arguments":"{}"`), `"tool_calls"`) + done,
			"start: ping: start:tool_use delta:{ delta:} stop: start:tool_use delta:{} stop: delta:tool_use stop:",
		},
		"two tools of one index": { // as some engines number them
			chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"{}"`), "null") + chunk(call("0", `,"id":"b"`, `"name":"f","arguments":"{}"`), `"stop"`) + done,
			"start: ping: start:tool_use delta:{} stop: start:tool_use delta:{} stop: delta:tool_use stop:",
		},
		"a name again": {
			chunk(call("0", `,"id":"a"`, `"name":"f"`), "null") + chunk(call("0", "", `"name":"f","arguments":"{}"`), `"stop"`) + done,
			"start: ping: start:tool_use delta:{} stop: delta:tool_use stop:",
		},
		"a name and an id again": { // in each piece, as some engines write them
			chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"{"`), "null") + chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"}"`), `"stop"`) + done,
			"start: ping: start:tool_use delta:{ delta:} stop: delta:tool_use stop:",
		},
		"no reason":            {chunk(`{"content":"hi"}`, "null") + done, "start: ping: start:text delta:hi stop: delta:end_turn stop:"},
		"another choice":       {`data: {"choices":[{"index":1,"delta":{"content":"x"}}]}` + "\n\n" + done, "start: ping: delta:end_turn stop:"},
		"an error":             {chunk(`{"content":"hi"}`, "null") + `data: {"error":{"message":"x"}}` + "\n\n" + done, "start: ping: start:text delta:hi error:api_error"},
		"an error of a string": {`data: {"error":"x"}` + "\n\n" + done, "error:api_error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := thinking(t, true).Events([]byte(tt.in))
			if diff := cmp.Diff(tt.want, short(t, got)); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	for name, in := range map[string]string{
		"nothing": done, "no chunk": `data: {"choices":1}` + "\n\n", "arguments of no call": chunk(call("0", "", `"arguments":"{}"`), "null"),
		"arguments of a call that is whole": chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"{}"`), "null") + chunk(call("1", `,"id":"b"`, `"name":"f"`), "null") + chunk(call("0", "", `"arguments":"{}"`), "null"),
	} {
		if got, err := new(anthropic.Messages).Events([]byte(in)); err == nil || strings.Contains(string(got), "message_stop") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func TestEvents_nameToolsThatTheEngineDoesNot(t *testing.T) {
	t.Parallel()
	got, err := thinking(t, true).Events([]byte(chunk(`{"tool_calls":[{"index":0,"function":{"name":"f"}},{"index":1,"function":{"name":"f"}}]}`, `"stop"`) + done))
	for _, id := range []string{`"id":"toolu_7_0"`, `"id":"toolu_7_1"`} {
		if err != nil || strings.Count(string(got), id) != 1 {
			t.Errorf("%s: %s, %v", id, got, err)
		}
	}
}

func TestEvents_tellThatTheModelThinks(t *testing.T) {
	t.Parallel()
	got, err := thinking(t, false).Events([]byte(strings.Repeat(chunk(`{"reasoning":"h"}`, "null"), 70) + chunk(`{"content":"hi"}`, `"stop"`) + done))
	if want := "start:" + strings.Repeat(" ping:", 3) + " start:text delta:hi stop: delta:end_turn stop:"; err != nil || short(t, got) != want {
		t.Errorf("got %s, %v", short(t, got), err)
	}
}

func TestError_endsAStreamOnce(t *testing.T) {
	t.Parallel()
	m := thinking(t, false)
	if _, err := m.Events([]byte(chunk(`{"content":"hi"}`, "null"))); err != nil {
		t.Fatal(err)
	}
	want := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Why. (gateway_busy)\"}}\n\n"
	if got := string(m.Error(&openai.Error{Status: 503, Code: "gateway_busy", Message: "Why."})); got != want {
		t.Errorf("got %s", got)
	}
	if got := m.Error(&openai.Error{Status: 502}); len(got) > 0 {
		t.Errorf("a second one: %s", got)
	}
	if got, err := m.Events([]byte(chunk(`{"content":"hi"}`, "null") + done)); len(got) > 0 || err != nil {
		t.Errorf("after it: %s, %v", got, err)
	}
}

func TestWriteError_asTheirClientsKnowThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[int]struct {
		status int
		kind   string
	}{
		400: {400, "invalid_request_error"}, 401: {401, "authentication_error"}, 402: {402, "billing_error"}, 403: {403, "permission_error"},
		404: {404, "not_found_error"}, 405: {405, "invalid_request_error"}, 408: {408, "timeout_error"}, 413: {413, "request_too_large"},
		429: {429, "rate_limit_error"}, 500: {500, "api_error"}, 502: {502, "api_error"}, 503: {529, "overloaded_error"}, 504: {504, "timeout_error"},
	} {
		w := httptest.NewRecorder()
		anthropic.WriteError(w, &openai.Error{Status: in, Message: "Why.", Code: "c", Retry: true, RetryAfter: 1500 * time.Millisecond}, "id")
		body := `{"type":"error","error":{"type":"` + want.kind + `","message":"Why. (c)"},"request_id":"id"}`
		h := w.Header()
		if w.Code != want.status || w.Body.String() != body || h.Get("Request-Id") != "id" || h.Get("X-Should-Retry") != "true" || h.Get("Retry-After") != "2" {
			t.Errorf("%d: %d %v %s", in, w.Code, h, w.Body)
		}
	}
}

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{"": true, "2023-06-01": true, "2026-10-21": true, "2023-01-01": false, "latest": false} {
		h := map[string][]string{}
		if version != "" {
			h["Anthropic-Version"] = []string{version}
		}
		if refused := anthropic.CheckVersion(h); (refused == nil) != ok {
			t.Errorf("%q: %v", version, refused)
		}
	}
}

// FuzzEvents holds a stream that comes in one piece against the same in many.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(chunk(`{"content":"hi"}`, `"stop"`) + counts + done))
	f.Add([]byte(chunk(`{"reasoning":"hi"}`, "null") + chunk(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}`, `"tool_calls"`) + `data: {"error":{}}` + "\n\n" + done))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, parts := thinking(t, true), thinking(t, true)
		a, errA := whole.Events(in)
		var b []byte
		var errB error
		for line := range strings.Lines(string(in)) {
			var piece []byte
			piece, errB = parts.Events([]byte(line))
			b = append(b, piece...)
			if errB != nil {
				break
			}
		}
		if string(a) != string(b) || (errA == nil) != (errB == nil) {
			t.Fatalf("at once %q, %v\nin parts %q, %v", a, errA, b, errB)
		}
		if errA == nil && strings.Count(string(a), "event: message_stop") > strings.Count(string(in), "[DONE]") {
			t.Fatalf("an end that never came: %q", a)
		}
	})
}
