package anthropic_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/anthropic"
)

// pieces writes a stream whose chunks carry a piece each of tool calls, given as
// number, head and function.
func pieces(list ...[3]string) string {
	var out strings.Builder
	for _, p := range list {
		out.WriteString(chunk(`{"tool_calls":[{"index":`+p[0]+p[1]+`,"function":{`+p[2]+`}}]}`, "null"))
	}
	return out.String() + chunk(`{}`, `"tool_calls"`) + counts + done
}

// collected does what the official SDKs' accumulators do: a block begins where
// the content ends, and deltas go to the block that is open.
func collected(t *testing.T, events []byte) string {
	t.Helper()
	var content []string
	open := false
	for event := range strings.SplitSeq(strings.TrimSpace(string(events)), "\n\n") {
		var e struct {
			Type  string
			Index int
			Block struct{ Type, ID, Name string } `json:"content_block"`
			Delta struct {
				Text string
				JSON string `json:"partial_json"`
			}
		}
		_, data, _ := strings.Cut(event, "\ndata: ")
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%q: %v", event, err)
		}
		last := len(content) - 1
		switch e.Type {
		case "content_block_start":
			if open || e.Index != len(content) {
				t.Fatalf("block %d begins while %v are there, the last one open: %v", e.Index, content, open)
			}
			content, open = append(content, strings.Trim(e.Block.Type+" "+e.Block.ID+" "+e.Block.Name+" ", " ")+" "), true
		case "content_block_delta":
			if !open || e.Index != last {
				t.Fatalf("a delta of block %d; the last is %d, open: %v", e.Index, last, open)
			}
			content[last] += e.Delta.Text + e.Delta.JSON
		case "content_block_stop":
			if !open || e.Index != last {
				t.Fatalf("block %d ends; the last is %d, open: %v", e.Index, last, open)
			}
			open = false
		}
	}
	if open {
		t.Fatal("the last block is open in the end")
	}
	return strings.Join(content, "; ")
}

func TestEvents_mixedCallsComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	const a, b = `,"id":"a","type":"function"`, `,"id":"b","type":"function"`
	const f, g = `"name":"f","arguments":""`, `"name":"g","arguments":""`
	arguments := func(text string) string { return fmt.Sprintf(`"arguments":%q`, text) }
	for name, tt := range map[string]struct{ in, want string }{
		"in turns": {
			pieces([3]string{"0", a, f}, [3]string{"1", b, g}, [3]string{"0", "", arguments(`{"x":`)}, [3]string{"1", "", arguments(`{"y":`)},
				[3]string{"0", "", arguments(`"}"}`)}, [3]string{"1", "", arguments(`2}`)}),
			`tool_use a f {"x":"}"}; tool_use b g {"y":2}`,
		},
		"the later one is whole first": {
			pieces([3]string{"0", a, `"name":"f","arguments":"{"`}, [3]string{"1", b, `"name":"g","arguments":"{}"`}, [3]string{"0", "", arguments(`"x":"\"{"}`)}),
			`tool_use a f {"x":"\"{"}; tool_use b g {}`,
		},
		"numbered from the last": {
			pieces([3]string{"2", a, `"name":"f","arguments":"{"`}, [3]string{"0", b, g}, [3]string{"0", "", arguments(`{}`)}, [3]string{"2", "", arguments(`}`)}),
			`tool_use a f {}; tool_use b g {}`,
		},
		"without arguments": {pieces([3]string{"0", a, f}, [3]string{"1", b, g}, [3]string{"1", "", arguments(`{}`)}), `tool_use a f ; tool_use b g {}`},
		"name and id in each piece": {
			pieces([3]string{"0", a, `"name":"f","arguments":"{"`}, [3]string{"1", b, `"name":"g","arguments":"{"`}, [3]string{"0", a, `"name":"f","arguments":"}"`}, [3]string{"1", b, `"name":"g","arguments":"}"`}),
			`tool_use a f {}; tool_use b g {}`,
		},
		"all of one number, without ids": {
			pieces([3]string{"0", "", `"name":"f","arguments":"{}"`}, [3]string{"0", "", `"name":"f","arguments":"{}"`}),
			`tool_use toolu_7_0 f {}; tool_use toolu_7_1 f {}`,
		},
		"a space after the end": {
			pieces([3]string{"0", a, f}, [3]string{"0", "", arguments(`{}`)}, [3]string{"1", b, g}, [3]string{"0", "", arguments("\n")}, [3]string{"1", "", arguments(`{}`)}),
			`tool_use a f {}; tool_use b g {}`,
		},
		"a text between": {
			chunk(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}`, "null") + chunk(`{"content":"Let "}`, "null") + chunk(`{"content":"me."}`, "null") +
				chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}`, "null") + chunk(`{"content":" See."}`, `"tool_calls"`) + done,
			`tool_use a f {}; text Let me. See.`,
		},
		"nothing is whole": {
			pieces([3]string{"0", a, `"name":"f","arguments":"1"`}, [3]string{"1", b, g}, [3]string{"2", `,"id":"c"`, f}, [3]string{"1", "", arguments("{")}, [3]string{"2", "", arguments("[")}, [3]string{"0", "", arguments("1")}),
			`tool_use a f 11; tool_use b g {; tool_use c f [`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, got := thinking(t, false), []byte(nil)
			for event := range strings.SplitAfterSeq(tt.in, "\n\n") { // as they come, one by one
				told, err := m.Events([]byte(event))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, told...)
			}
			if diff := cmp.Diff(tt.want, collected(t, got)); diff != "" {
				t.Error(diff)
			}
			if kept := m.Keeps(); kept > 3*512 {
				t.Errorf("%d bytes are kept in the end", kept)
			}
		})
	}
}

func TestEvents_whatIsOpenIsTold(t *testing.T) {
	t.Parallel()
	m := thinking(t, false)
	for _, step := range []struct{ in, want string }{
		{`{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}`, "start: ping: start:tool_use delta:{"},
		{`{"index":1,"id":"b","function":{"name":"f","arguments":"{\"y\":"}}`, ""},
		{`{"index":0,"function":{"arguments":" "}}`, "delta: "},
		{`{"index":1,"function":{"arguments":"1"}}`, ""},
		{`{"index":0,"function":{"arguments":"}"}}`, `delta:} stop: start:tool_use delta:{"y":1`},
		{`{"index":1,"function":{"arguments":"}"}}`, `delta:}`},
		{`{"index":2,"id":"c","function":{"name":"f","arguments":"{}"}}`, `stop: start:tool_use delta:{}`},
	} {
		got, err := m.Events([]byte(chunk(`{"tool_calls":[`+step.in+`]}`, "null")))
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		if len(got) > 0 {
			said = short(t, got)
		}
		if said != step.want {
			t.Errorf("%s: %s, want %s", step.in, said, step.want)
		}
	}
}

// A call without arguments does not look whole; what comes behind it says that it
// is, and does not wait for the end.
func TestEvents_aCallWithoutArgumentsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	const bare = `{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}`
	next := func(arguments string) string {
		return `{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":` + arguments + `}}]}`
	}
	const begun = "start: ping: start:tool_use"
	for name, c := range map[string]struct{ deltas, want []string }{
		"the next call with arguments": {[]string{bare, next(`"{"`), next(`"}"`)}, []string{begun, "stop: start:tool_use delta:{", "delta:}"}},
		"the next call, and then its arguments": {
			[]string{bare, next(`""`), next(`"{"`), next(`"}"`)}, []string{begun, "", "stop: start:tool_use delta:{", "delta:}"},
		},
		"two without": {
			[]string{bare, next(`""`), `{"tool_calls":[{"index":2,"id":"c","function":{"name":"h","arguments":"{}"}}]}`},
			[]string{begun, "", "stop: start:tool_use stop: start:tool_use delta:{}"},
		},
		"a text":    {[]string{bare, `{"content":"so"}`, `{"content":" be it"}`}, []string{begun, "stop: start:text delta:so", "delta: be it"}},
		"a thought": {[]string{bare, `{"reasoning":"hm"}`}, []string{begun, "stop: start:thinking delta:hm"}},
		"a blank is no arguments": {
			[]string{bare, `{"tool_calls":[{"index":0,"function":{"arguments":" "}}]}`, next(`"{}"`)}, []string{begun, "delta: ", "stop: start:tool_use delta:{}"},
		},
		"a blank of the next one": {[]string{bare, next(`" "`), next(`"{}"`)}, []string{begun, "", "stop: start:tool_use delta: {}"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := thinking(t, true)
			for i, delta := range c.deltas {
				got, err := m.Events([]byte(chunk(delta, "null")))
				if err != nil {
					t.Fatal(err)
				}
				said := ""
				if len(got) > 0 {
					said = short(t, got)
				}
				if said != c.want[i] {
					t.Errorf("%s: %q, want %q", delta, said, c.want[i])
				}
			}
			if got, err := m.Events([]byte(chunk(`{}`, `"tool_calls"`))); err != nil || short(t, got) != "stop:" {
				t.Errorf("at its finish: %s, %v", got, err)
			}
			if got, err := m.Events([]byte(counts + done)); err != nil || short(t, got) != "delta:tool_use stop:" {
				t.Errorf("in the end: %s, %v", got, err)
			}
		})
	}
}

func TestEvents_whatWaitsIsBounded(t *testing.T) {
	t.Parallel()
	begun := chunk(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},{"index":1,"id":"b","function":{"name":"f"}}]}`, "null")
	long := chunk(`{"tool_calls":[{"index":1,"function":{"arguments":"`+strings.Repeat("x", 1<<20)+`"}}]}`, "null")
	m := thinking(t, false)
	if _, err := m.Events([]byte(begun + strings.Repeat(long, 15))); err != nil || m.Keeps() < 15<<20 {
		t.Errorf("15 MiB: %d are kept, %v", m.Keeps(), err)
	}
	if _, err := m.Events([]byte(long)); err == nil {
		t.Error("16 MiB wait")
	}
	var many strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&many, `data: {"choices":[{"delta":{"tool_calls":[{"index":%d,"id":"%d","function":{"name":"f"}}]}}]}`+"\n\n", i, i)
	}
	if _, err := new(anthropic.Messages).Events([]byte(many.String())); err == nil {
		t.Error("40,000 calls wait")
	}
	quiet, err := thinking(t, false).Events([]byte(begun + strings.Repeat(chunk(`{"tool_calls":[{"index":1,"function":{"arguments":"1"}}]}`, "null"), 70)))
	if got := short(t, quiet); err != nil || got != "start: ping: start:tool_use delta:{"+strings.Repeat(" ping:", 2) {
		t.Errorf("meanwhile: %s, %v", got, err)
	}
}
