package responses_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/responses"
)

func asked(t testing.TB) *responses.Responses {
	t.Helper()
	r := &responses.Responses{ID: "7"}
	if _, refused := r.Request([]byte(body(`"input":"hi"`))); refused != nil {
		t.Fatal(refused)
	}
	return r
}

func chunk(delta, finish string) string {
	return `data: {"id":"c","created":5,"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}` + "\n\n"
}

func call(index, head, function string) string {
	return `{"tool_calls":[{"index":` + index + head + `,"function":{` + function + `}}]}`
}

const (
	counts = `data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":1}}}` + "\n\n"
	done   = "data: [DONE]\n\n"
)

// told is an event as a client reads it.
type told struct {
	Type     string
	Sequence int `json:"sequence_number"`
	Output   int `json:"output_index"`
	ItemID   string
	Delta    string
	Text     string
	Refusal  string
	Argument string `json:"arguments"`
	Item     struct{ ID, Type, Status string }
	Response struct {
		ID, Status string
		Error      struct{ Message string }
		Details    struct{ Reason string } `json:"incomplete_details"`
		Output     []struct {
			Type, Status string
			Arguments    string
			Content      []struct{ Text, Refusal string }
		}
		Usage struct {
			Total   int `json:"total_tokens"`
			Details struct {
				Reasoning int `json:"reasoning_tokens"`
			} `json:"output_tokens_details"`
		}
	}
}

// read reads events, whose numbers must follow each other.
func read(t *testing.T, events []byte) []told {
	t.Helper()
	var all []told
	for event := range strings.SplitSeq(strings.TrimSpace(string(events)), "\n\n") {
		name, data, ok := strings.Cut(strings.TrimPrefix(event, "event: "), "\ndata: ")
		var e told
		if err := json.Unmarshal([]byte(data), &e); err != nil || !ok || e.Type != name || e.Sequence != len(all) {
			t.Fatalf("event %d: %q: %v", len(all), event, err)
		}
		all = append(all, e)
	}
	return all
}

// short writes events as their types with what is new in them.
func short(t *testing.T, events []byte) string {
	t.Helper()
	var out []string
	for _, e := range read(t, events) {
		text := e.Delta + e.Text + e.Refusal + e.Argument + e.Item.Type
		if e.Item.Status == "incomplete" {
			text += "!"
		}
		out = append(out, strings.TrimPrefix(e.Type, "response.")+":"+text)
	}
	return strings.Join(out, " ")
}

func TestEvents_tellAStory(t *testing.T) {
	t.Parallel()
	const begin = "created: in_progress: "
	const added = "output_item.added:function_call "
	const text = "output_item.added:message content_part.added: output_text.delta:hi output_text.done:hi content_part.done: "
	for name, tt := range map[string]struct{ in, want string }{
		"text":    {chunk(`{"role":"assistant","content":""}`, "null") + chunk(`{"content":"hi"}`, "null") + chunk(`{}`, `"stop"`) + counts + done, begin + text + "output_item.done:message completed:"},
		"cut off": {chunk(`{"content":"hi"}`, `"length"`) + done, begin + text + "output_item.done:message! incomplete:"},
		"thoughts first": {
			chunk(`{"reasoning":"h"}`, "null") + chunk(`{"reasoning_content":"m"}`, "null") + chunk(`{"content":"hi"}`, `"stop"`) + done,
			begin + "output_item.added:reasoning content_part.added: reasoning_text.delta:h reasoning_text.delta:m reasoning_text.done:hm content_part.done: output_item.done:reasoning " + text + "output_item.done:message completed:",
		},
		"a refusal": {
			chunk(`{"refusal":"no"}`, `"content_filter"`) + done,
			begin + "output_item.added:message content_part.added: refusal.delta:no refusal.done:no content_part.done: output_item.done:message! incomplete:",
		},
		"two calls": {
			chunk(call("0", `,"id":"a"`, `"name":"f"`), "null") + chunk(call("0", "", `"arguments":"{"`), "null") + chunk(call("0", "", `"arguments":"}"`), "null") +
				chunk(call("1", `,"id":"b"`, `"name":"g","arguments":"[]"`), `"tool_calls"`) + done,
			begin + "output_item.added:function_call function_call_arguments.delta:{ function_call_arguments.delta:} function_call_arguments.done:{} output_item.done:function_call " +
				"output_item.added:function_call function_call_arguments.delta:[] function_call_arguments.done:[] output_item.done:function_call completed:",
		},
		"an id again": { // in each piece, as some engines write it
			chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"{"`), "null") + chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"}"`), `"stop"`) + done,
			begin + "output_item.added:function_call function_call_arguments.delta:{ function_call_arguments.delta:} function_call_arguments.done:{} output_item.done:function_call completed:",
		},
		"mixed calls": {
			chunk(call("0", `,"id":"a"`, `"name":"f"`), "null") + chunk(call("1", `,"id":"b"`, `"name":"g"`), "null") + chunk(call("0", "", `"arguments":"{"`), "null") +
				chunk(call("1", "", `"arguments":"[1"`), "null") + chunk(call("0", "", `"arguments":"}"`), "null") + chunk(call("2", `,"id":"c"`, `"name":"f"`), "null") +
				chunk(call("1", "", `"arguments":"]"`), "null") + chunk(`{"content":"hi"}`, "null") + chunk(call("2", "", `"arguments":"{}"`), `"tool_calls"`) + done,
			begin + added + added + "function_call_arguments.delta:{ function_call_arguments.delta:[1 function_call_arguments.delta:} " +
				"function_call_arguments.done:{} output_item.done:function_call output_item.added:function_call function_call_arguments.delta:] " +
				"function_call_arguments.done:[1] output_item.done:function_call output_item.added:message content_part.added: output_text.delta:hi function_call_arguments.delta:{} " +
				"function_call_arguments.done:{} output_item.done:function_call output_text.done:hi content_part.done: output_item.done:message completed:",
		},
		"mixed calls, cut off": {
			chunk(call("0", `,"id":"a"`, `"name":"f"`), "null") + chunk(call("1", `,"id":"b"`, `"name":"g","arguments":"{}"`), "null") + chunk(call("0", "", `"arguments":"{"`), `"length"`) + done,
			begin + added + added + "function_call_arguments.delta:{} function_call_arguments.delta:{ " +
				"function_call_arguments.done:{ output_item.done:function_call! function_call_arguments.done:{} output_item.done:function_call incomplete:",
		},
		"a space after a call": {
			chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"{}"`), "null") + chunk(`{"content":"hi"}`, "null") + chunk(call("0", "", `"arguments":" "`), `"tool_calls"`) + done,
			begin + "output_item.added:function_call function_call_arguments.delta:{} function_call_arguments.done:{} output_item.done:function_call " + text + "output_item.done:message completed:",
		},
		"nothing said":   {chunk(`{}`, `"stop"`) + done, begin + "completed:"},
		"another choice": {`data: {"choices":[{"index":1,"delta":{"content":"x"}}]}` + "\n\n" + done, begin + "completed:"},
		"an error":       {chunk(`{"content":"hi"}`, "null") + `data: {"error":{"message":"x"}}` + "\n\n" + done, begin + text + "output_item.done:message! failed:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := asked(t).Events([]byte(tt.in))
			if diff := cmp.Diff(tt.want, short(t, got)); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	for name, in := range map[string]string{
		"nothing": done, "no chunk": `data: {"choices":1}` + "\n\n", "arguments of no call": chunk(call("0", "", `"arguments":"{}"`), "null"),
		"arguments of a call that is whole": chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"{}"`), "null") + chunk(`{"content":"hi"}`, "null") + chunk(call("0", "", `"arguments":"{}"`), "null"),
		"more items than can be kept":       strings.Repeat(chunk(`{"content":"x"}`, "null")+chunk(`{"reasoning":"x"}`, "null"), 17_000),
		"more than can be kept":             strings.Repeat(chunk(`{"content":"`+strings.Repeat("x", 1<<20)+`"}`, "null"), 17),
	} {
		if got, err := asked(t).Events([]byte(in)); err == nil || strings.Contains(string(got), "response.completed") {
			t.Errorf("%s: %.200s, %v", name, got, err)
		}
	}
}

func TestEvents_theLastRepeatsTheWhole(t *testing.T) {
	t.Parallel()
	got, err := asked(t).Events([]byte(chunk(`{"reasoning":"h"}`, "null") + chunk(`{"content":"hi"}`, "null") + chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"{}"`), `"tool_calls"`) + counts + done))
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, got)
	last := all[len(all)-1].Response
	if last.ID != "resp_7" || last.Status != "completed" || len(last.Output) != 3 || last.Output[0].Content[0].Text != "h" || last.Output[1].Content[0].Text != "hi" ||
		last.Output[2].Arguments != "{}" || last.Usage.Total != 11 || last.Usage.Details.Reasoning != 1 {
		t.Errorf("got %+v", last)
	}
}

// The official SDKs' accumulators put an item where output_index says and expect
// items to be added in that order.
func TestEvents_mixedCallsAreItemsByIndex(t *testing.T) {
	t.Parallel()
	got, err := asked(t).Events([]byte(chunk(`{"content":"hi"}`, "null") + chunk(call("1", `,"id":"a"`, `"name":"f"`), "null") + chunk(call("0", `,"id":"b"`, `"name":"g"`), "null") +
		chunk(call("0", "", `"arguments":"{\"b\":"`), "null") + chunk(call("1", "", `"arguments":"{\"a\":"`), "null") + chunk(call("0", "", `"arguments":"2}"`), "null") + chunk(call("1", "", `"arguments":"1}"`), `"tool_calls"`) + done))
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, got)
	var items []string
	for _, e := range all {
		switch e.Type {
		case "response.output_item.added":
			if e.Output != len(items) {
				t.Errorf("item %d is added as %d", len(items), e.Output)
			}
			items = append(items, "")
		case "response.output_text.delta", "response.function_call_arguments.delta":
			items[e.Output] += e.Delta
		case "response.function_call_arguments.done":
			if items[e.Output] != e.Argument {
				t.Errorf("item %d has %q in pieces and %q as a whole", e.Output, items[e.Output], e.Argument)
			}
		}
	}
	if diff := cmp.Diff([]string{"hi", `{"a":1}`, `{"b":2}`}, items); diff != "" {
		t.Error(diff)
	}
	for i, item := range all[len(all)-1].Response.Output {
		if item.Status != "completed" || item.Type == "function_call" && item.Arguments != items[i] {
			t.Errorf("the last event has %+v", item)
		}
	}
}

// Items are open at once, so a call that may have arguments yet holds nothing up; it
// is told to be over with the finish, before the usage and [DONE] are there.
func TestEvents_aCallWithoutArgumentsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	r := asked(t)
	for _, step := range []struct{ in, want string }{
		{chunk(call("0", `,"id":"a"`, `"name":"f","arguments":""`), "null"), "response.output_item.added"},
		{chunk(call("1", `,"id":"b"`, `"name":"g","arguments":"{}"`), "null"), "response.function_call_arguments.delta"},
		{chunk(`{}`, `"tool_calls"`), "response.output_item.done"},
		{counts + done, "response.completed"},
	} {
		got, err := r.Events([]byte(step.in))
		if events := strings.Split(strings.TrimSpace(string(got)), "\n\n"); err != nil || !strings.HasPrefix(events[len(events)-1], "event: "+step.want+"\n") {
			t.Errorf("%s: %s, %v; want a last event of %s", step.in, got, err, step.want)
		}
	}
}

func TestEvents_nameCallsThatTheEngineDoesNot(t *testing.T) {
	t.Parallel()
	got, err := asked(t).Events([]byte(chunk(call("0", "", `"name":"f","arguments":"{}"`), "null") + chunk(call("1", "", `"name":"f","arguments":"{}"`), `"stop"`) + done))
	for _, id := range []string{`"call_id":"call_7_0"`, `"call_id":"call_7_1"`} {
		if err != nil || !strings.Contains(string(got), id) {
			t.Errorf("%s: %s, %v", id, got, err)
		}
	}
}

func TestError_failsTheResponseOnce(t *testing.T) {
	t.Parallel()
	r := asked(t)
	before, err := r.Events([]byte(chunk(`{"content":"hi"}`, "null")))
	if err != nil {
		t.Fatal(err)
	}
	before = append([]byte(nil), before...)
	all := read(t, append(before, r.Error(&openai.Error{Code: "upstream_lost", Message: "Gone."})...))
	last := all[len(all)-1]
	if last.Type != "response.failed" || last.Response.Status != "failed" || last.Response.Error.Message != "Gone. (upstream_lost)" || last.Response.Output[0].Status != "incomplete" {
		t.Errorf("got %+v", last)
	}
	if got := r.Error(&openai.Error{}); len(got) > 0 {
		t.Errorf("a second one: %s", got)
	}
	if got, err := r.Events([]byte(chunk(`{"content":"hi"}`, "null") + done)); len(got) > 0 || err != nil {
		t.Errorf("after it: %s, %v", got, err)
	}
}

func TestAnswer_becomesAResponse(t *testing.T) {
	t.Parallel()
	r := &responses.Responses{ID: "7"}
	if _, refused := r.Request([]byte(body(`"input":"hi","instructions":"i","max_output_tokens":3,"temperature":0.5,"metadata":{"a":"b"},"user":"u","reasoning":{"effort":"low"},` +
		`"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}],"tool_choice":"required","parallel_tool_calls":false,"text":{"format":{"type":"json_object"}}`))); refused != nil {
		t.Fatal(refused)
	}
	got, err := r.Answer([]byte(`{"id":"c","created":5,"model":"m","choices":[{"message":{"reasoning":"hm","content":"hi","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"function":{"name":"f"}}]},"finish_reason":"length"}],` +
		`"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}`))
	want := `{"id":"resp_7","object":"response","created_at":5,"status":"incomplete","background":false,"error":null,"incomplete_details":{"reason":"max_output_tokens"},"instructions":"i","max_output_tokens":3,"model":"m","output":[` +
		`{"id":"rs_7_0","type":"reasoning","status":"completed","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},` +
		`{"id":"msg_7_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[],"logprobs":[]}]},` +
		`{"id":"fc_7_2","type":"function_call","status":"completed","call_id":"a","name":"f","arguments":"{}"},` +
		`{"id":"fc_7_3","type":"function_call","status":"incomplete","call_id":"call_7_3","name":"f","arguments":""}],` +
		`"parallel_tool_calls":false,"previous_response_id":null,"reasoning":{"effort":"low","summary":null},"store":false,"temperature":0.5,"text":{"format":{"type":"json_object"}},"tool_choice":"required",` +
		`"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}],"top_p":null,"truncation":"disabled",` +
		`"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":12},"user":"u","metadata":{"a":"b"}}`
	if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, in := range []string{`{}`, `{"choices":[]}`, `{"choices":[{"message":7}]}`, `[]`} {
		if got, err := asked(t).Answer([]byte(in)); err == nil {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}

// FuzzEvents holds a stream that comes in one piece against the same in many.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(chunk(`{"content":"hi"}`, `"stop"`) + counts + done))
	f.Add([]byte(chunk(call("0", `,"id":"a"`, `"name":"f"`), "null") + chunk(call("1", "", `"name":"f","arguments":"{"`), "null") + chunk(call("0", "", `"arguments":"{}"`), "null") + done))
	f.Add([]byte(chunk(`{"reasoning":"hi"}`, "null") + chunk(call("0", `,"id":"a"`, `"name":"f","arguments":"{}"`), `"tool_calls"`) + `data: {"error":{}}` + "\n\n" + done))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, parts := asked(t), asked(t)
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
	})
}
