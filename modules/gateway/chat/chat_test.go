package chat_test

import (
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
)

func TestDecode_namesTheField(t *testing.T) {
	t.Parallel()
	var v struct {
		Words []string `json:"words"`
		Inner struct {
			Number int `json:"number"`
		} `json:"inner"`
	}
	for in, want := range map[string]struct{ param, message string }{
		`{"words":"one"}`:           {"words", "words must not be a string."},
		`{"words":{}}`:              {"words", "words must not be an object."},
		`{"inner":[]}`:              {"inner", "inner must not be an array."},
		`{"inner":{"number":1.5}}`:  {"inner.number", "inner.number must not be a number."},
		`{"inner":{"number":true}}`: {"inner.number", "inner.number must not be a boolean."},
		`[]`:                        {"", "cannot be read"},
	} {
		refused := chat.Decode([]byte(in), &v)
		if refused == nil || refused.Status != 400 || refused.Param != want.param || !strings.Contains(refused.Message, want.message) {
			t.Errorf("%s: %v", in, refused)
		}
	}
	if refused := chat.Decode([]byte(`{"words":["a"],"inner":{"number":1},"more":{}}`), &v); refused != nil || len(v.Words) != 1 {
		t.Errorf("good: %v, %+v", refused, v)
	}
}

func TestPayloads_areTheDataOfEvents(t *testing.T) {
	t.Parallel()
	var got []string
	for data := range chat.Payloads([]byte(": hello\n\nevent: x\ndata: {\"a\":1}\r\n\r\ndata:[DONE]\n\ndata:\n\n")) {
		got = append(got, string(data))
	}
	if strings.Join(got, "|") != `{"a":1}|[DONE]` || !chat.IsDone([]byte(got[1])) {
		t.Errorf("got %q", got)
	}
}

func TestUsage_believesNoMoreCachedThanSent(t *testing.T) {
	t.Parallel()
	a, err := chat.ParseAnswer([]byte(`{"choices":[{}],"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":9},"completion_tokens_details":null}}`))
	if err != nil || a.Usage.Cached() != 3 || a.Usage.Reasoned() != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
	var none *chat.Usage
	if none.Cached() != 0 || none.Reasoned() != 0 {
		t.Error("no usage has some")
	}
}

func TestFailure_asEnginesWriteIt(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"message":"x","type":"InternalServerError","code":500}`: "upstream_error: x",
		`{"message":"x","code":"out_of_memory"}`:                  "out_of_memory: x",
		`"x"`:                                                     "upstream_error: x",
		`{}`:                                                      "upstream_error: The model's server failed in the middle of its answer.",
		`7`:                                                       "upstream_error: The model's server failed in the middle of its answer.",
	} {
		a, err := chat.ParseChunk([]byte(`{"error":` + in + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Failure(); got == nil || got.Error() != want || got.Status != 502 {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
	for _, in := range []string{`{}`, `{"error":null}`} {
		if a, err := chat.ParseChunk([]byte(in)); err != nil || a.Failure() != nil {
			t.Errorf("%s: %v, %v", in, a.Failure(), err)
		}
	}
}
