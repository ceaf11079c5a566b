package openai_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

const hello = `"messages":[{"role":"user","content":"hello"}]`

func parse(t *testing.T, kind openai.Kind, body string) openai.Head {
	t.Helper()
	h, err := openai.ParseHead(kind, []byte(body))
	if err != nil {
		t.Fatalf("ParseHead(%s) = %v", body, err)
	}
	return h
}

// refusal is a body and what the client is told.
type refusal struct {
	name, body, code, param, text string
}

func refuse(t *testing.T, kind openai.Kind, tests []refusal) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := openai.ParseHead(kind, []byte(tt.body))
			if err == nil {
				t.Fatalf("accepted: %.200s", tt.body)
			}
			if err.Status != 400 || err.Type != openai.InvalidRequest || err.Code != tt.code || err.Param != tt.param || err.Retry {
				t.Errorf("got %d %s %s param %q retry %v, want 400 %s param %q", err.Status, err.Type, err.Code, err.Param, err.Retry, tt.code, tt.param)
			}
			if !strings.Contains(err.Message, tt.text) {
				t.Errorf("message %q does not say %q", err.Message, tt.text)
			}
		})
	}
}

func TestParseHead_findsWhatTheGatewayActsOn(t *testing.T) {
	t.Parallel()
	h := parse(t, openai.Chat, `{"model":"meta-llama\/Llama-3","stream":true,"max_tokens":100,"max_completion_tokens":50,
		"temperature":null,"top_p":0.5,"n":2,"stream_options":{"include_usage":true},`+hello+`,"tools":[{"type":"function"}]}`)
	if string(h.Model) != "meta-llama/Llama-3" || !h.Stream || !h.IncludeUsage || h.MaxTokens != 100 || h.Choices != 2 {
		t.Errorf("got %+v", h)
	}
	if want := len(hello) - len(`"messages":`); h.PromptBytes != want {
		t.Errorf("PromptBytes = %d, want %d", h.PromptBytes, want)
	}
	if want := strings.TrimPrefix(hello, `"messages":`); string(h.Prompt) != want {
		t.Errorf("Prompt = %s, want %s", h.Prompt, want)
	}
	for kind, body := range map[openai.Kind]string{
		openai.Completions: `{"model":"m","prompt":"once","max_tokens":1}`,
		openai.Embeddings:  `{"model":"m","input":["a","b"]}`,
	} {
		if h := parse(t, kind, body); h.Stream || string(h.Model) != "m" || h.PromptBytes == 0 {
			t.Errorf("%s: got %+v", body, h)
		}
	}
}

func TestB07_notJSON(t *testing.T) {
	t.Parallel()
	wide := "\xff\xfe" + strings.Join(strings.Split(`{"model":"m"}`, ""), "\x00") + "\x00"
	many := func(n int, last string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"k%d":0,`, i)
		}
		return `{` + b.String() + last + `}`
	}
	refuse(t, openai.Chat, []refusal{
		{"empty", ``, "invalid_json", "", "at byte 0, the body is empty"},
		{"html", `<html>`, "invalid_json", "", "at byte 0, found '<'"},
		{"list", `[{"model":"m"}]`, "invalid_json", "", "found '['"},
		{"truncated", `{"model":"m","messages":[{"role":"us`, "invalid_json", "", "at byte 36, the text ends"},
		{"truncated after comma", `{"model":"m",`, "invalid_json", "", "at byte 13"},
		{"trailing data", `{"model":"m",` + hello + `} {}`, "invalid_json", "", "where the end of the text was expected"},
		{"trailing comma", `{"model":"m",}`, "invalid_json", "", "at byte 13, found '}' where a key"},
		{"single quotes", `{'model':'m'}`, "invalid_json", "", "at byte 1"},
		{"comment", `{/* hi */"model":"m"}`, "invalid_json", "", "at byte 1"},
		{"leading zero", `{"seed":01}`, "invalid_json", "", "at byte 9"},
		{"bare minus", `{"seed":-}`, "invalid_json", "", "a digit"},
		{"no fraction", `{"seed":1.}`, "invalid_json", "", "a digit"},
		{"no exponent", `{"seed":1e+}`, "invalid_json", "", "a digit"},
		{"NaN", `{"temperature":NaN}`, "invalid_json", "", "at byte 15, found 'N'"},
		{"True", `{"stream":True}`, "invalid_json", "", "found 'T'"},
		{"half a word", `{"stream":tru}`, "invalid_json", "", "at byte 10"},
		{"bad escape", `{"model":"\x"}`, "invalid_json", "", "escape"},
		{"bad unicode escape", `{"model":"\u12g4"}`, "invalid_json", "", "escape"},
		{"raw line feed", "{\"model\":\"a\nb\"}", "invalid_json", "", "control character '\\n'"},
		{"raw NUL", "{\"model\":\"a\x00\"}", "invalid_json", "", "control character"},
		{"not UTF-8", "{\"model\":\"aaaaaaaaaaaaa\xff\"}", "invalid_json", "", "at byte 23, a string is not valid UTF-8"},
		{"surrogate as UTF-8", "{\"model\":\"\xed\xa0\x80\"}", "invalid_json", "", "not valid UTF-8"},
		{"UTF-16", wide, "invalid_json", "", "UTF-16"},
		{"UTF-16 without mark", wide[2:], "invalid_json", "", "UTF-16"},
		{"byte order mark", "\ufeff{}", "invalid_json", "", "byte order mark"},
		{"duplicate", `{"model":"a",` + hello + `,"model":"b"}`, "invalid_json", "", `the key "model" appears twice`},
		{"duplicate in disguise", `{"model":"a","mod\u0065l":"b"}`, "invalid_json", "", `"model" appears twice`},
		{"duplicate among many", many(100, `"k7":1`), "invalid_json", "", `"k7" appears twice`},
		{"duplicate switch", `{"stream_options":{"include_usage":true,"include_usage":false}}`, "invalid_json", "", `"include_usage" appears twice`},
		{"depth 200", `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "invalid_json", "", "deeper than 64"},
	})
	if h := parse(t, openai.Chat, many(100, hello+`,"model":"m"`)); string(h.Model) != "m" {
		t.Errorf("a hundred different keys: %+v", h)
	}
	parse(t, openai.Chat, `{"model":"m",`+hello+`,"x":`+strings.Repeat("[", 63)+strings.Repeat("]", 63)+`}`)
}

func TestB11_messages(t *testing.T) {
	t.Parallel()
	with := func(messages string) string { return `{"model":"m","messages":` + messages + `}` }
	refuse(t, openai.Chat, []refusal{
		{"missing", `{"model":"m"}`, "invalid_messages", "messages", "missing"},
		{"null", with(`null`), "invalid_messages", "messages", "null"},
		{"a string", with(`"hello"`), "invalid_messages", "messages", `"hello"`},
		{"empty", with(`[]`), "invalid_messages", "messages", "empty"},
		{"not an object", with(`["hello"]`), "invalid_messages", "messages[0]", `"hello"`},
		{"no role", with(`[{"content":"x"}]`), "invalid_messages", "messages[0].role", "no role"},
		{"wrong role", with(`[{"role":"user"},{"role":"user"},{"role":"user"},{"role":"robot","content":"x"}]`), "invalid_messages", "messages[3].role", `"robot"`},
		{"role not a string", with(`[{"role":7}]`), "invalid_messages", "messages[0].role", "7"},
		{"5000", with(`[` + strings.Repeat(`{"role":"user","content":""},`, 4999) + `{"role":"user","content":""}]`), "invalid_messages", "messages", "it has 5000"},
		{"broken inside", with(`[{"role":"user","content":]`), "invalid_json", "", "found ']'"},
		{"deep content", with(`[{"role":"user","content":` + strings.Repeat("[", 200) + `}]`), "invalid_json", "", "deeper"},
	})
	// What a message holds is for the engine to judge.
	for _, m := range []string{
		`[{"role":"user","content":null}]`, `[{"role":"assistant","tool_calls":[]}]`, `[{"role":"developer","content":[{"type":"text","text":"x"}]}]`,
		`[{"role":"tool","tool_call_id":"1","content":"x"}]`, `[{"role":"function","name":"f","content":"x"}]`,
	} {
		parse(t, openai.Chat, with(m))
	}
}

func TestB12_numbersOutOfRange(t *testing.T) {
	t.Parallel()
	with := func(field string) string { return `{"model":"m",` + hello + `,` + field + `}` }
	tests := []refusal{
		{"temperature 9", with(`"temperature":9`), "invalid_value", "temperature", "from 0 to 2; it is 9."},
		{"temperature a string", with(`"temperature":"hot"`), "invalid_value", "temperature", `it is "hot"`},
		{"temperature 1e999", with(`"temperature":1e999`), "invalid_value", "temperature", "from 0 to 2"},
		{"top_p -1", with(`"top_p":-1`), "invalid_value", "top_p", "from 0 to 1"},
		{"n 1000", with(`"n":1000`), "invalid_value", "n", "from 1 to 128"},
		{"stop x100", with(`"stop":["a"` + strings.Repeat(`,"a"`, 99) + `]`), "invalid_value", "stop", "at most 64 entries; it has 100"},
		{"logit_bias", with(`"logit_bias":{"0":1` + strings.Repeat(`,"1":1`, 5000) + `}`), "invalid_value", "logit_bias", "it has 5001"},
		{"model missing", `{` + hello + `}`, "missing_required_parameter", "model", "/v1/models"},
		{"model empty", with(`"x":0`)[:9] + `"",` + hello + `}`, "missing_required_parameter", "model", "/v1/models"},
		{"model a number", `{"model":1}`, "invalid_value", "model", "must be a string; it is 1."},
		{"model an object", `{"model":{"name":"` + strings.Repeat("x", 99) + `"}}`, "invalid_value", "model", "it is an object"},
		{"model a page", `{"model":"` + strings.Repeat("x", 300) + `"}`, "invalid_value", "model", "longer than 256"},
	}
	for _, v := range []string{"0", "-1", "1e12", "1000000000000", `"10"`, "1.5", "[1]", "true", "99999999999999999999999999"} {
		for _, f := range []string{"max_tokens", "max_completion_tokens"} {
			tests = append(tests, refusal{f + " " + v, with(`"` + f + `":` + v), "invalid_value", f, "whole number from 1 to 10000000"})
		}
	}
	refuse(t, openai.Chat, tests)
	h := parse(t, openai.Chat, with(`"max_tokens":null,"n":null,"temperature":2,"top_p":1,"stop":"x","logit_bias":null`))
	if h.MaxTokens != 0 || h.Choices != 1 {
		t.Errorf("MaxTokens = %d and Choices = %d, want none and 1", h.MaxTokens, h.Choices)
	}
}

func TestB12_input(t *testing.T) {
	t.Parallel()
	refuse(t, openai.Completions, []refusal{
		{"no prompt", `{"model":"m"}`, "missing_required_parameter", "prompt", "text to complete"},
		{"null prompt", `{"model":"m","prompt":null}`, "missing_required_parameter", "prompt", ""},
		{"messages instead", `{"model":"m",` + hello + `}`, "missing_required_parameter", "prompt", ""},
	})
	refuse(t, openai.Embeddings, []refusal{
		{"no input", `{"model":"m"}`, "missing_required_parameter", "input", "to embed"},
	})
}

func TestB16_stream(t *testing.T) {
	t.Parallel()
	with := func(field string) string { return `{"model":"m",` + hello + `,` + field + `}` }
	refuse(t, openai.Chat, []refusal{
		{"a string", with(`"stream":"yes"`), "invalid_value", "stream", `must be true or false; it is "yes"`},
		{"a number", with(`"stream":1`), "invalid_value", "stream", "it is 1."},
		{"options without stream", with(`"stream_options":{"include_usage":true}`), "invalid_value", "stream_options", `"stream": true`},
		{"options with stream off", with(`"stream":false,"stream_options":{}`), "invalid_value", "stream_options", `"stream": true`},
		{"options not an object", with(`"stream":true,"stream_options":[]`), "invalid_value", "stream_options", "an object"},
		{"usage not a switch", with(`"stream":true,"stream_options":{"include_usage":"yes"}`), "invalid_value", "stream_options.include_usage", "true or false"},
		{"options broken", with(`"stream":true,"stream_options":{"include_usage":}`), "invalid_json", "", "found '}'"},
	})
	parse(t, openai.Chat, with(`"stream":null,"stream_options":null`))
}

func TestBody_changesNothingButWhatItMust(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, model, want string }{
		{"nothing to do", `{"model":"m", ` + hello + `}`, ``, `{"model":"m", ` + hello + `}`},
		{"model", `{"model" : "m" ,` + hello + `}`, `"big/model"`, `{"model" : "big/model" ,` + hello + `}`},
		{"no options", `{"stream":true,"model":"m",` + hello + `}`, ``, `{"stream":true,"stream_options":{"include_usage":true},"model":"m",` + hello + `}`},
		{"null options", `{"stream":true,"stream_options":null,"model":"m",` + hello + `}`, `"x"`, `{"stream":true,"stream_options":{"include_usage":true},"model":"x",` + hello + `}`},
		{"empty options", `{"model":"m",` + hello + `,"stream_options":{ },"stream":true}`, `"x"`, `{"model":"x",` + hello + `,"stream_options":{"include_usage":true },"stream":true}`},
		{"other options", `{"model":"m",` + hello + `,"stream_options":{"x":1},"stream":true}`, ``, `{"model":"m",` + hello + `,"stream_options":{"include_usage":true,"x":1},"stream":true}`},
		{"switched off", `{"model":"m",` + hello + `,"stream_options":{"include_usage" : false},"stream":true}`, ``, `{"model":"m",` + hello + `,"stream_options":{"include_usage" : true},"stream":true}`},
		{"asked for", `{"stream":true,"stream_options":{"include_usage":true},"model":"m",` + hello + `}`, ``, `{"stream":true,"stream_options":{"include_usage":true},"model":"m",` + hello + `}`},
		{"stream off", `{"stream":false,"model":"m","stream_options":null,` + hello + `}`, ``, `{"stream":false,"model":"m","stream_options":null,` + hello + `}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := parse(t, openai.Chat, tt.body)
			b := h.Body([]byte(tt.body), []byte(tt.model))
			if got := bytes.Join(b.Parts(), nil); string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A completion of no tokens is how evaluations ask for the probabilities of a
// prompt.
func TestParseHead_aCompletionMayBeOfNoTokens(t *testing.T) {
	t.Parallel()
	for _, zero := range []string{"0", " 0 "} {
		body := `{"model":"m","prompt":"once","echo":true,"logprobs":1,"max_tokens":` + zero + `}`
		h := parse(t, openai.Completions, body)
		if h.Most = 7; h.MaxTokens != 1 {
			t.Errorf("%s: at most %d tokens", body, h.MaxTokens)
		}
		sent := h.Body([]byte(body), nil)
		if got := string(bytes.Join(sent.Parts(), nil)); got != body {
			t.Errorf("a limit on tokens makes it %s", got)
		}
	}
	for kind, body := range map[openai.Kind]string{
		openai.Chat: `{"model":"m",` + hello + `,"max_tokens":0}`, openai.Completions: `{"model":"m","prompt":"x","max_tokens":-0}`,
	} {
		if _, err := openai.ParseHead(kind, []byte(body)); err == nil || err.Param != "max_tokens" {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func FuzzParseHead(f *testing.F) {
	for _, s := range []string{
		`{"model":"m",` + hello + `}`,
		`{"stream":true,"stream_options":{"include_usage":false},"model":"m\u00e9",` + hello + `,"n":1,"top_p":0.1}`,
		`{"model":"m","stream_options":{},"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"\ud83d\ude00"}]}]}`,
		`{"a":[1,2.5e-3,true,false,null,{}],"\u0061":""}`, `{"model":"m","stop":["x"],"logit_bias":{"1":2}}`,
		withPart(`{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}`), withPart(`{"input_audio":{"data":"\u0066ile:"}}`),
		`{"model":"m","query":"q","documents":["a",{"image_url":["https://x"]}],"tokens":[1],"prompt":"x"}`,
		`{"model":"m",` + hello + `,"tools":[{"type":"function","function":{"parameters":{"type":["a"],"pattern":"x","$ref":"#/x"}}}]}`,
		"\xff\xfe{\x00", `{"x":"` + strings.Repeat("é", 20) + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for kind := openai.Chat; kind <= openai.Foreign; kind++ {
			h, refused := openai.ParseHead(kind, body)
			if refused != nil {
				if refused.Code == "invalid_json" && json.Valid(body) && !tolerated(refused.Message) {
					t.Fatalf("valid JSON refused: %s", refused.Message)
				}
				continue
			}
			var plain map[string]json.RawMessage
			if err := json.Unmarshal(body, &plain); err != nil {
				t.Fatalf("accepted what encoding/json refuses: %v", err)
			}
			if kind == openai.Foreign {
				continue // it is translated, not spliced
			}
			b := h.Body(body, []byte(`"renamed"`))
			checkSplice(t, h, plain, bytes.Join(b.Parts(), nil))
		}
	})
}

// tolerated are the refusals of what encoding/json lets pass.
func tolerated(message string) bool {
	for _, s := range []string{"appears twice", "deeper than", "UTF-8", "where '{' was expected"} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return false
}

// checkSplice holds the body sent against the one that came.
func checkSplice(t *testing.T, h openai.Head, came map[string]json.RawMessage, sent []byte) {
	t.Helper()
	var now map[string]json.RawMessage
	if err := json.Unmarshal(sent, &now); err != nil {
		t.Fatalf("the spliced body is broken: %v: %s", err, sent)
	}
	if string(now["model"]) != `"renamed"` {
		t.Fatalf("model = %s", now["model"])
	}
	if h.Stream {
		var o struct {
			Include bool `json:"include_usage"`
		}
		if err := json.Unmarshal(now["stream_options"], &o); err != nil || !o.Include {
			t.Fatalf("usage is not asked for: %s", sent)
		}
	}
	for key, value := range came {
		if key != "model" && key != "stream_options" && !bytes.Equal(value, now[key]) {
			t.Fatalf("%s changed from %s to %s", key, value, now[key])
		}
	}
}

func BenchmarkParseHead(b *testing.B) {
	small := `{"model":"mock","stream":true,` + hello + `}`
	turn := `{"role":"user","content":"` + strings.Repeat(`The quick brown fox jumps over the lazy dog. \"Really?\"\n`, 20) + `"},`
	chat := `{"model":"mock","stream":true,"temperature":0.7,"messages":[` + strings.Repeat(turn, 8) + turn[:len(turn)-1] + `]}`
	for name, body := range map[string]string{"200B": small, "10kB": chat, "1MB": strings.Replace(chat, "The", strings.Repeat("word ", 1<<20/5), 1)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			text := []byte(body)
			for b.Loop() {
				if _, err := openai.ParseHead(openai.Chat, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestBody_limitsTokensWhenTheClientDoesNot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ body, model, want string }{
		{` { "model":"m",` + hello + `}`, ``, ` {"max_tokens":7, "model":"m",` + hello + `}`},
		{`{"model":"m","max_tokens": null,` + hello + `}`, `"x"`, `{"model":"x","max_tokens": 7,` + hello + `}`},
		{`{"max_tokens":null,"stream":true,"model":"m",` + hello + `}`, `"x"`, `{"max_tokens":7,"stream":true,"stream_options":{"include_usage":true},"model":"x",` + hello + `}`},
		{`{"model":"m","max_completion_tokens":null,` + hello + `}`, ``, `{"max_tokens":7,"model":"m","max_completion_tokens":null,` + hello + `}`},
		{`{"model":"m","max_completion_tokens":3,` + hello + `}`, ``, `{"model":"m","max_completion_tokens":3,` + hello + `}`},
		{`{"model":"m","max_tokens":3,` + hello + `}`, ``, `{"model":"m","max_tokens":3,` + hello + `}`},
	} {
		h := parse(t, openai.Chat, tt.body)
		h.Most = 7
		b := h.Body([]byte(tt.body), []byte(tt.model))
		if got := bytes.Join(b.Parts(), nil); string(got) != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
