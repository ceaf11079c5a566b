package openai_test

import (
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// withPart is a chat request whose one message has a part besides text.
func withPart(part string) string {
	return `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see https://example.com"},` + part + `]}]}`
}

func TestB13_mediaIsNotFetched(t *testing.T) {
	t.Parallel()
	const where = "messages[0].content"
	var tests []refusal
	for _, url := range []string{
		"http://169.254.42.42/x", "file:///etc/passwd", `http:\/\/example.com\\@169.254.42.42`, "https://[::ffff:169.254.169.254]/", "//host/x", "/etc/passwd",
		" http://x", "HTTP://x", `\u0068ttp://x`, "ftp://x", "s3://bucket/x",
	} {
		tests = append(tests,
			refusal{"image_url " + url, withPart(`{"type":"image_url","image_url":{"url":"` + url + `"}}`), "media_not_allowed", where, "data: URL"},
			refusal{"bare image_url " + url, withPart(`{"type":"image_url","image_url":"` + url + `"}`), "media_not_allowed", where, "data: URL"},
			refusal{"audio_url " + url, withPart(`{"type":"audio_url","audio_url":{"url":"` + url + `"}}`), "media_not_allowed", where, "data: URL"})
	}
	tests = append(tests, []refusal{
		{"video_url", withPart(`{"type":"video_url","video_url":{"url":"https://x"}}`), "media_not_allowed", where, ""},
		{"input_image", withPart(`{"type":"input_image","image_url":"https://x"}`), "media_not_allowed", where, ""},
		{"input_audio", withPart(`{"type":"input_audio","input_audio":{"data":"https://x","format":"wav"}}`), "media_not_allowed", where, ""},
		{"a file", withPart(`{"type":"input_audio","input_audio":{"data":"file:///x"}}`), "media_not_allowed", where, ""},
		{"no type", withPart(`{"video_url":{"url":"https://x"}}`), "media_not_allowed", where, ""},
		{"key in disguise", withPart(`{"image\u005furl":{"ur\u006c":"https://x"}}`), "media_not_allowed", where, ""},
		{"content in disguise", strings.Replace(withPart(`{"image_url":"https://x"}`), `"content"`, `"c\u006fntent"`, 1), "media_not_allowed", where, ""},
		{"hidden behind another", withPart(`{"image_url":{"url":"https://x","url":"data:image/png;base64,AA"}}`), "media_not_allowed", where, ""},
		{"in a list", withPart(`{"image_url":[{"url":"https://x"}]}`), "media_not_allowed", where, ""},
		{"broken", withPart(`{"image_url":{"url":"https:`), "invalid_json", "", "the text ends"},
	}...)
	refuse(t, openai.Chat, tests)
	for kind, bodies := range map[openai.Kind][]string{
		openai.Embeddings: {`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}`, `{"model":"m","input":[{"image_url":"https://x"}]}`},
		openai.Tokenize:   {`{"model":"m","messages":[{"role":"user","content":[{"image_url":{"url":"https://x"}}]}]}`},
		openai.Rerank:     {`{"model":"m","query":"q","documents":[{"content":[{"image_url":{"url":"https://x"}}]}]}`, `{"model":"m","query":{"content":[{"image_url":"https://x"}]},"documents":[]}`},
		openai.Score:      {`{"model":"m","data_1":"a","data_2":{"content":[{"type":"image_url","image_url":{"url":"file:///x"}}]}}`},
	} {
		for _, body := range bodies {
			if _, err := openai.ParseHead(kind, []byte(body)); err == nil || err.Code != "media_not_allowed" {
				t.Errorf("%s: %v", body, err)
			}
		}
	}
}

func TestB13_ownMediaPassesUpToASize(t *testing.T) {
	t.Parallel()
	for _, part := range []string{
		`{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"},"uuid":"x"}`, `{"type":"image_url","image_url":"DATA:image\/png;base64,AA"}`,
		`{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}`, `{"type":"image_url","image_url":null}`,
		`{"type":"text","text":"http://x","url":"http://x"}`,
	} {
		parse(t, openai.Chat, withPart(part))
	}
	big := func(n int) string {
		return withPart(`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", n) + `"}}`)
	}
	h := parse(t, openai.Chat, big(20<<20-len("data:image/png;base64,")))
	if h.PromptBytes > 8<<10 {
		t.Errorf("a picture counts as %d bytes of prompt", h.PromptBytes)
	}
	_, err := openai.ParseHead(openai.Chat, []byte(big(20<<20)))
	if err == nil || err.Status != 413 || err.Code != "media_too_large" || err.Param != "messages[0].content" {
		t.Errorf("20 MiB: %v", err)
	}
}

func TestB14_tools(t *testing.T) {
	t.Parallel()
	with := func(tools string) string { return `{"model":"m",` + hello + `,"tools":` + tools + `}` }
	tool := func(schema string) string {
		return with(`[{"type":"function","function":{"name":"f","parameters":` + schema + `}}]`)
	}
	refuse(t, openai.Chat, []refusal{
		{"no list", with(`{}`), "invalid_tools", "tools", "must be a list"},
		{"no object", with(`["f"]`), "invalid_tools", "tools[0]", `"f"`},
		{"no type", with(`[{"function":{"name":"f"}}]`), "invalid_tools", "tools[0].type", "no type"},
		{"type a number", with(`[{"type":1}]`), "invalid_tools", "tools[0].type", "must be a string"},
		{"10,000", with(`[{"type":"function"}` + strings.Repeat(`,{"type":"function"}`, 9999) + `]`), "invalid_tools", "tools", "it has 10000"},
		{"a type in a schema", tool(`{"type":"object","properties":{"a":{"type":7}}}`), "invalid_tools", "tools[0]", "it is 7"},
		{"null as a type", tool(`{"type":null}`), "invalid_tools", "tools[0]", "null"},
		{"pattern", tool(`{"type":"string","pattern":"` + strings.Repeat("(a+)+", 300) + `"}`), "invalid_tools", "tools[0]", "at most 1024"},
		{"pattern that explodes", tool(`{"type":"string","pattern":"^((a{1,100}){1,100}){1,100}$"}`), "invalid_tools", "tools[0]", "at most 10000"},
		{"repetition without end", tool(`{"type":"string","pattern":"a{99999999999999999999}"}`), "invalid_tools", "tools[0]", "at most 10000"},
		{"pattern as a name", tool(`{"patternProperties":{"(a{200}){200}":{}}}`), "invalid_tools", "tools[0]", "at most 10000"},
		{"pattern of a property named default", tool(`{"properties":{"default":{"pattern":"(a{200}){200}"}}}`), "invalid_tools", "tools[0]", "at most 10000"},
		{"pattern with half a bracket", tool(`{"type":"string","pattern":"(a"}`), "invalid_tools", "tools[0]", "partner"},
		{"$ref to all", tool(`{"maximum":1e999,"properties":{"a":{"$ref":"#"}}}`), "invalid_tools", "tools[0]", "back to itself"},
		{"$ref in a circle", tool(`{"$ref":"#/$defs/a","$defs":{"a":{"items":{"$ref":"#/%24defs/b"}},"b":{"anyOf":[{"\u0024ref":"#/$defs/a"}]}}}`), "invalid_tools", "tools[0]", "back to itself"},
		{"$ref in great", tool(`{"$ref":"#/a","a":"` + strings.Repeat("a", 256<<10) + `"}`), "invalid_tools", "tools[0]", "at most 262144"},
		{"$ref elsewhere in an answer's schema", `{"model":"m",` + hello + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"$ref":"http://example.com/a"}}}}`, "invalid_value", "response_format", "into the schema itself"},
		{"pattern in an answer's schema", `{"model":"m",` + hello + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"pattern":"(a{200}){200}"}}}}`, "invalid_value", "response_format", "at most 10000"},
		{"$ref elsewhere", tool(`{"$ref":"http://169.254.169.254/"}`), "invalid_tools", "tools[0]", "$ref"},
		{"deep", tool(strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100)), "invalid_json", "", "deeper than 64"},
		{"broken", with(`[{"type":"function","function":{"name":]}`), "invalid_json", "", "found ']'"},
	})
	for _, body := range []string{
		with(`null`), with(`[]`), with(`[{"type":"custom","custom":{"name":"x"}}]`),
		tool(`{"type":"object","properties":{"type":{"type":["string","null"],"enum":[1,null]},"pattern":{"type":"string","pattern":"^a+$","default":{"type":1}},"$ref":{"$ref":"#/$defs/x"}}}`),
		tool(`{"$defs":{"x":{"type":"string"}},"properties":{"a":{"$ref":"#/$defs/x"},"b":{"$ref":"#/$defs/x"},"c":{"$ref":"#/nowhere/1"}}}`),
		tool(`{"pattern":"^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"}`), // what pydantic writes for a Decimal
		tool(`{"pattern":"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$|a{,3}|\\(|[(]"}`),
		`{"model":"m",` + hello + `,"response_format":null}`, `{"model":"m",` + hello + `,"response_format":{"type":"json_object"}}`,
		`{"model":"m",` + hello + `,"response_format":{"type":"json_schema","json_schema":{"name":"tree","schema":{"$defs":{"a":{"items":{"$ref":"#/$defs/a"}}},"$ref":"#/$defs/a"}}}}`,
	} {
		parse(t, openai.Chat, body)
	}
	parse(t, openai.Completions, `{"model":"m","prompt":"x","tools":5}`) // it means nothing there
}

func TestParseHead_kindsOfVLLM(t *testing.T) {
	t.Parallel()
	for kind, body := range map[openai.Kind]string{
		openai.Rerank:     `{"model":"m","query":"q","documents":["a","b"],"top_n":1}`,
		openai.Score:      `{"model":"m","text_1":"a","text_2":["b","c"]}`,
		openai.Tokenize:   `{"model":"m","prompt":"hello","return_token_strs":true}`,
		openai.Detokenize: `{"model":"m","tokens":[1,2,3]}`,
	} {
		if h := parse(t, kind, body); string(h.Model) != "m" || h.PromptBytes == 0 || h.Stream {
			t.Errorf("%s: %+v", body, h)
		}
		refuse(t, kind, []refusal{
			{"empty", `{"model":"m"}`, "missing_required_parameter", strings.Split(body, `"`)[5], ""},
			{"no model", `{` + body[len(`{"model":"m",`):], "missing_required_parameter", "model", ""},
			{"stream", strings.Replace(body, `{`, `{"stream":true,`, 1), "invalid_value", "stream", "does not stream"},
		})
	}
}

func TestRenamer_changesTheModelAlone(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"id":"x","model":"big/model","choices":[{"model":"big/model"}]}`:  `{"id":"x","model":"fast \"one\"","choices":[{"model":"big/model"}]}`,
		"{\n \"choices\" : [{\"text\":\"a}\"}], \"model\" : \"m\\u00e9\" }": "{\n \"choices\" : [{\"text\":\"a}\"}], \"model\" : \"fast \\\"one\\\"\" }",
		`{"model":null}`: `{"model":null}`, `{"id":1}`: `{"id":1}`, `[]`: `[]`, ``: ``, `{"a":"model"`: `{"a":"model"`, `{"model":"x`: `{"model":"x`,
	} {
		r := openai.NewRenamer(`fast "one"`)
		if got := string(r.Answer([]byte(in))); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
	r := openai.NewRenamer("fast")
	in := ": hello\n\ndata: {\"id\":\"c\",\"model\":\"big\",\"choices\":[]}\n\nevent: x\r\ndata:{\"model\":\"big\"}\r\n\r\ndata: [DONE]\n\n"
	want := strings.ReplaceAll(in, `"big"`, `"fast"`)
	for range 2 { // memory is used again
		if got := string(r.Events([]byte(in))); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

func FuzzRenamer(f *testing.F) {
	f.Add([]byte(chunk(hi) + usage + done))
	f.Add([]byte("data: {\"model\":\"x\"}\n\ndata: {\"a\":{\"model\":1},\"model\":\"\\\"\"}\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := openai.NewRenamer("renamed")
		once := string(r.Events(in))
		if again := string(r.Events([]byte(once))); again != once {
			t.Fatalf("renamed twice: %q, once: %q", again, once)
		}
	})
}
