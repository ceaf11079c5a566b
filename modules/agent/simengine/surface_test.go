package simengine_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// into calls the engine and reads its answer.
func into(t *testing.T, url, body string, answer any) {
	t.Helper()
	status, text := call(t, url, body)
	if err := json.Unmarshal([]byte(text), answer); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s: %v", body, status, text, err)
	}
}

type chatAnswer struct {
	Choices []struct {
		Message struct {
			Content   *string
			Reasoning string `json:"reasoning_content"`
			ToolCalls []struct {
				ID       string
				Type     string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		FinishReason string `json:"finish_reason"`
		StopReason   any    `json:"stop_reason"`
	}
}

const weather = `"tools":[{"type":"function","function":{"name":"time","parameters":{}}},{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":` +
	`{"city":{"type":"string"},"days":{"type":["integer","null"]},"unit":{"enum":["C","F"]},"wind":{"type":"boolean"},"at":{"const":7},"list":{"type":"array"},"no":{"type":"null"}}}}}]`

func TestChat_callsTools(t *testing.T) {
	t.Parallel()
	url := serve(t, wire.SimSpec{}) + "/v1/chat/completions"
	for choice, want := range map[string]string{
		`"required"`: "time", `{"type":"function","function":{"name":"weather"}}`: "weather", `"none"`: "", `"auto"`: "", `null`: "",
	} {
		var a chatAnswer
		into(t, url, hello+`,`+weather+`,"tool_choice":`+choice+`}`, &a)
		got := ""
		if calls := a.Choices[0].Message.ToolCalls; len(calls) > 0 {
			got = calls[0].Function.Name
			if a.Choices[0].FinishReason != "tool_calls" || calls[0].ID == "" || a.Choices[0].Message.Content != nil {
				t.Errorf("%s: %+v", choice, a)
			}
		}
		if got != want {
			t.Errorf("%s calls %q, want %q", choice, got, want)
		}
	}
	asks := `{"model":"inventiv/simulated-chat","messages":[{"role":"user","content":"What is the weather?"}%s],` + weather + `}`
	var a chatAnswer
	into(t, url, fmt.Sprintf(asks, ""), &a)
	if got := a.Choices[0].Message.ToolCalls[0].Function.Arguments; got != `{"at":7,"city":"simulated","days":0,"list":[],"no":null,"unit":"C","wind":false}` {
		t.Errorf("arguments: %s", got)
	}
	a = chatAnswer{}
	into(t, url, fmt.Sprintf(asks, `,{"role":"assistant","tool_calls":[]},{"role":"tool","tool_call_id":"x","content":"sunny"}`), &a)
	if text := a.Choices[0].Message.Content; text == nil || !strings.Contains(*text, "The tool said: “sunny”") || a.Choices[0].FinishReason != "stop" {
		t.Errorf("after the tool: %+v", a)
	}
}

func TestChat_streamsToolsInPieces(t *testing.T) {
	t.Parallel()
	_, text := call(t, serve(t, wire.SimSpec{})+"/v1/chat/completions", hello+`,`+weather+`,"tool_choice":{"type":"function","function":{"name":"weather"}},"stream":true}`)
	var name, arguments, finish string
	for line := range strings.Lines(text) {
		var c struct {
			Choices []struct {
				Delta struct {
					ToolCalls []struct {
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
				FinishReason string `json:"finish_reason"`
			}
		}
		data, ok := strings.CutPrefix(line, "data: {")
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte("{"+data), &c); err != nil {
			t.Fatal(err)
		}
		for _, call := range c.Choices[0].Delta.ToolCalls {
			name, arguments = name+call.Function.Name, arguments+call.Function.Arguments
		}
		finish = cmp.Or(c.Choices[0].FinishReason, finish)
	}
	if name != "weather" || !json.Valid([]byte(arguments)) || finish != "tool_calls" {
		t.Errorf("called %q with %q, finished for %q", name, arguments, finish)
	}
}

func TestChat_reasonsStopsAndKeepsToASchema(t *testing.T) {
	t.Parallel()
	url := serve(t, wire.SimSpec{}) + "/v1/chat/completions"
	var a chatAnswer
	into(t, url, hello+`,"reasoning_effort":"low"}`, &a)
	if m := a.Choices[0].Message; !strings.Contains(m.Reasoning, "No model thinks here") || !strings.Contains(*m.Content, "no model runs here") {
		t.Errorf("reasoning: %+v", m)
	}
	a = chatAnswer{}
	into(t, url, hello+`,"stop":["no model"]}`, &a)
	if c := a.Choices[0]; c.StopReason != "no model" || strings.Contains(*c.Message.Content, "no model") || c.FinishReason != "stop" {
		t.Errorf("stop: %+v", c)
	}
	a = chatAnswer{}
	into(t, url, hello+`,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","properties":{"n":{"type":"number"}}}}}}`, &a)
	if got := *a.Choices[0].Message.Content; got != `{"n":0}` {
		t.Errorf("schema: %s", got)
	}
}

func TestTokenize_isUndoneByDetokenize(t *testing.T) {
	t.Parallel()
	base := serve(t, wire.SimSpec{})
	var a struct {
		Count   int
		Max     int `json:"max_model_len"`
		Tokens  []uint32
		Strings []string `json:"token_strs"`
	}
	into(t, base+"/tokenize", `{"model":"inventiv/simulated-chat","prompt":"Hello, wörld!","return_token_strs":true}`, &a)
	if a.Count != 4 || len(a.Tokens) != 4 || strings.Join(a.Strings, "") == "" || a.Max != 32768 {
		t.Errorf("tokens: %+v", a)
	}
	ids, err := json.Marshal(a.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Prompt string }
	into(t, base+"/detokenize", `{"model":"inventiv/simulated-chat","tokens":`+string(ids)+`}`, &back)
	if back.Prompt != "Hello, wörld!" {
		t.Errorf("back: %q", back.Prompt)
	}
	into(t, base+"/tokenize", hello+"}", &a)
	if a.Count != 3 { // as chat counts it
		t.Errorf("messages: %+v", a)
	}
}

// Some clients count tokens themselves and send them instead of a text.
func TestPrompts_mayBeTokens(t *testing.T) {
	t.Parallel()
	url := serve(t, wire.SimSpec{})
	var ids struct{ Tokens []uint32 }
	into(t, url+"/tokenize", `{"model":"inventiv/simulated-chat","prompt":"the moon"}`, &ids)
	tokens, err := json.Marshal(ids.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ Choices []struct{ Text string } }
	if into(t, url+"/v1/completions", `{"model":"inventiv/simulated-chat","prompt":`+string(tokens)+`}`, &said); !strings.Contains(said.Choices[0].Text, "“the moon”") {
		t.Errorf("said %+v", said)
	}
	var text, list struct {
		Data []struct{ Embedding []float64 }
	}
	into(t, url+"/v1/embeddings", `{"model":"inventiv/simulated-chat","input":["the moon"]}`, &text)
	into(t, url+"/v1/embeddings", `{"model":"inventiv/simulated-chat","input":[`+string(tokens)+`,[15339,1917]]}`, &list)
	if len(list.Data) != 2 || fmt.Sprint(list.Data[0]) != fmt.Sprint(text.Data[0]) {
		t.Errorf("%d embeddings of two lists of tokens; the first is not its text's", len(list.Data))
	}
	for path, field := range map[string]string{"/v1/completions": "prompt", "/v1/embeddings": "input", "/v1/chat/completions": "messages"} {
		if status, text := call(t, url+path, `{"model":"inventiv/simulated-chat","`+field+`":[]}`); status != http.StatusBadRequest || !strings.Contains(text, `"param":"`+field+`"`) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

func TestRerankAndScore_compareWords(t *testing.T) {
	t.Parallel()
	base := serve(t, wire.SimSpec{})
	var r struct {
		Results []struct {
			Index    int
			Document struct{ Text string }
			Score    float64 `json:"relevance_score"`
		}
		Usage struct {
			Total int `json:"total_tokens"`
		}
	}
	into(t, base+"/v1/rerank", `{"model":"inventiv/simulated-chat","query":"red fish","documents":["a dog",{"text":"one red fish"},"fish"],"top_n":2}`, &r)
	if len(r.Results) != 2 || r.Results[0].Index != 1 || r.Results[0].Score != 1 || r.Results[0].Document.Text != "one red fish" || r.Results[1].Score != 0.5 || r.Usage.Total == 0 {
		t.Errorf("rerank: %+v", r)
	}
	var s struct {
		Data []struct{ Score float64 }
	}
	into(t, base+"/v1/score", `{"model":"inventiv/simulated-chat","text_1":"red fish","text_2":["fish","red fish"]}`, &s)
	if len(s.Data) != 2 || s.Data[0].Score != 0.5 || s.Data[1].Score != 1 {
		t.Errorf("score: %+v", s)
	}
	if status, _ := call(t, base+"/v1/score", `{"model":"inventiv/simulated-chat","text_1":["a","b"],"text_2":["c"]}`); status != http.StatusBadRequest {
		t.Errorf("two and one: %d", status)
	}
}
