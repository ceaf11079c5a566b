package openai_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

func TestParseAnswer_readsUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, answer string
		want         openai.Usage
		ok           bool
	}{
		{"chat", `{"id":"c","choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":1}"}}],"usage":` + counts + `}`, openai.Usage{Prompt: 9, Completion: 2, Cached: 4}, true},
		{"pretty", "{\n  \"usage\": {\n    \"prompt_tokens\": 3,\n    \"completion_tokens\": 4,\n    \"total_tokens\": 7\n  }\n}\n", openai.Usage{Prompt: 3, Completion: 4}, true},
		{"embeddings", `{"object":"list","data":[{"embedding":[0.1,-2e-5]}],"usage":{"prompt_tokens":3,"total_tokens":3}}`, openai.Usage{Prompt: 3}, true},
		{"null details", `{"usage":{"prompt_tokens":3,"completion_tokens":null,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":1}}}`, openai.Usage{Prompt: 3}, true},
		{"total alone", `{"results":[],"usage":{"total_tokens":56}}`, openai.Usage{Prompt: 56}, true},
		{"no total", `{"usage":{"prompt_tokens":3,"completion_tokens":1}}`, openai.Usage{Prompt: 3, Completion: 1}, true},
		{"explicit zero", `{"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`, openai.Usage{}, true},
		{"B36 none", `{"choices":[]}`, openai.Usage{}, false},
		{"B36 null", `{"usage":null}`, openai.Usage{}, false},
		{"B36 empty", `{"usage":{}}`, openai.Usage{}, false},
		{"B36 a list", `{"usage":[1]}`, openai.Usage{}, false},
		{"B36 contradictory", `{"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":5}}`, openai.Usage{}, false},
		{"B36 negative", `{"usage":{"prompt_tokens":-3,"completion_tokens":1}}`, openai.Usage{}, false},
		{"B36 strings", `{"usage":{"prompt_tokens":"3","completion_tokens":1}}`, openai.Usage{}, false},
		{"B36 absurd", `{"usage":{"prompt_tokens":3,"completion_tokens":99999999999999999}}`, openai.Usage{}, false},
		{"elsewhere", `{"x":{"usage":{"prompt_tokens":3}}}`, openai.Usage{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, ok, err := openai.ParseAnswer([]byte(tt.answer))
			if u != tt.want || ok != tt.ok || err != nil {
				t.Errorf("got %+v, %v, %v", u, ok, err)
			}
		})
	}
}

func TestB36_notAnAnswer(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "  ", "<html></html>", "[]", `"x"`, "null", `{"a":1`, `{"a":1}{}`, `{"usage":{"prompt_tokens":1}`, "{\"a\":\"\xff\"}", strings.Repeat(`{"a":`, 99)} {
		if u, ok, err := openai.ParseAnswer([]byte(answer)); err == nil || ok || u != (openai.Usage{}) {
			t.Errorf("%.40q: got %+v, %v, %v", answer, u, ok, err)
		}
	}
}

func TestParseAnswer_anErrorIsNoAnswer(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]error{
		`"error":{"message":"oh no"}`: openai.ErrIsError, `"error":"oh no"`: openai.ErrIsError, `"error":["oh no"]`: openai.ErrIsError,
		`"error":{}`: openai.ErrIsError, `"error":true`: openai.ErrIsError, `"error":500`: openai.ErrIsError, `"choices":[],"error": {"code":1},"usage":` + counts: openai.ErrIsError,
		`"error":null`: nil, `"error":false`: nil, `"error":""`: nil, `"error":[]`: nil, `"x":{"error":"oh no"}`: nil, `"choices":[{"error":"x"}]`: nil,
		`"error":{"message":"oh no"`: openai.ErrNotAnswer,
	} {
		if u, ok, err := openai.ParseAnswer([]byte(`{` + member + `}`)); !errors.Is(err, want) || want == nil && err != nil || ok || u != (openai.Usage{}) {
			t.Errorf("%s: %+v, %v, %v; want %v", member, u, ok, err, want)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"choices":[],"usage":` + counts + `}`))
	f.Add([]byte(`{"usage":{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":null}},"x":[[],{"y":-0.5E+2}]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		u, ok, err := openai.ParseAnswer(answer)
		if err != nil && (ok || u != (openai.Usage{})) {
			t.Fatalf("usage with an error: %+v, %v", u, err)
		}
		if err != nil {
			return
		}
		var plain map[string]json.RawMessage
		if e := json.Unmarshal(answer, &plain); e != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", e)
		}
		if ok && (u.Prompt < 0 || u.Completion < 0 || u.Cached < 0 || u.Cached > u.Prompt) {
			t.Fatalf("impossible usage %+v", u)
		}
	})
}
