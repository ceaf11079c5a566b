package responses_test

import (
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/responses"
)

func TestCount_asksTheEngine(t *testing.T) {
	t.Parallel()
	var c responses.Count
	out, refused := c.Request([]byte(`{"model":"m","instructions":"s","input":"hi","tools":[{"type":"function","name":"f"}],"tool_choice":"auto","reasoning":{"effort":"low"}}`))
	want := `{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}],"add_generation_prompt":true}`
	if refused != nil || string(out) != want {
		t.Errorf("got %s, %v", out, refused)
	}
	if _, refused := openai.ParseHead(openai.Tokenize, out); refused != nil {
		t.Error(refused)
	}
	e := &openai.Error{Param: "messages[1].content"}
	if c.Rename(e); e.Param != "input" {
		t.Errorf("an error is about %s", e.Param)
	}
	for in, param := range map[string]string{`{"model":"m"}`: "input", `{"model":"m","input":"x","conversation":"c"}`: "conversation"} {
		if _, refused := new(responses.Count).Request([]byte(in)); refused == nil || refused.Param != param {
			t.Errorf("%s: %v", in, refused)
		}
	}
	if got, err := c.Answer([]byte(`{"count":7,"tokens":[]}`)); err != nil || string(got) != `{"object":"response.input_tokens","input_tokens":7}` {
		t.Errorf("got %s, %v", got, err)
	}
	for _, answer := range []string{`{"tokens":[1]}`, `{"count":"1"}`, `[]`} { // llama.cpp's, and nonsense
		if got, err := c.Answer([]byte(answer)); err == nil {
			t.Errorf("%s: %s", answer, got)
		}
	}
}
