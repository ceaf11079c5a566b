package openai_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// chunk returns a chat event with delta, as vLLM writes one.
func chunk(delta string) string {
	return `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":null}]}` + "\n\n"
}

const (
	hi      = `{"content":"hi"}`
	counts  = `{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4}}`
	usage   = `data: {"id":"c","object":"chat.completion.chunk","choices":[],"usage":` + counts + "}\n\n"
	done    = "data: [DONE]\n\n"
	comment = ": keep-alive\n\n"
)

// relay reads the whole of r through a stream and returns what is passed on.
func relay(s *openai.Stream, r io.Reader) (string, error) {
	var out strings.Builder
	for {
		events, err := s.Next(r)
		out.Write(events)
		if err != nil {
			return out.String(), err
		}
	}
}

func TestStream_passesOnAndHides(t *testing.T) {
	t.Parallel()
	engine := openai.Usage{Prompt: 9, Completion: 2, Cached: 4}
	llama := `data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"model":"m","usage":` + counts + `,"timings":{"x":1.5}}` + "\n\n"
	tests := []struct {
		name, in   string
		kind       openai.Kind
		hide       bool
		out        string // "" for the same as in
		deltas     int64
		usage      openai.Usage
		unknown    bool // no usage that makes sense
		failed     bool
		err        error
		incomplete bool // no [DONE]
	}{
		{name: "vLLM, asked for", in: chunk(`{"role":"assistant","content":""}`) + chunk(hi) + chunk(hi) + usage + done, deltas: 2, usage: engine},
		{name: "vLLM, hidden", hide: true, in: chunk(`{"role":"assistant"}`) + chunk(hi) + chunk(hi) + usage + done, out: chunk(`{"role":"assistant"}`) + chunk(hi) + chunk(hi) + done, deltas: 2, usage: engine},
		{name: "llama.cpp, asked for", in: chunk(hi) + llama + done, deltas: 1, usage: engine},
		{name: "llama.cpp, hidden", hide: true, in: chunk(hi) + llama + done, out: chunk(hi) + strings.Replace(llama, `,"usage":`+counts, "", 1) + done, deltas: 1, usage: engine},
		{
			name: "usage in every chunk, hidden", hide: true, deltas: 2, usage: engine,
			in:  strings.Repeat(strings.Replace(chunk(hi), `]}`, `],"usage":`+counts+`}`, 1), 2) + usage + done,
			out: strings.Repeat(chunk(hi), 2) + done,
		},
		{name: "usage first", hide: true, in: `data: {"usage":` + counts + ` , "choices":[{"delta":` + hi + `}]}` + "\n\n" + done, out: `data: { "choices":[{"delta":` + hi + `}]}` + "\n\n" + done, deltas: 1, usage: engine},
		{name: "usage alone", hide: true, in: `data: {"usage":` + counts + "}\n\n" + done, out: done, usage: engine},
		{name: "usage null", hide: true, in: `data: {"choices":[{"delta":` + hi + `}],"usage":null}` + "\n\n" + done, deltas: 1, unknown: true},
		{name: "the word usage", hide: true, in: chunk(`{"content":"usage"}`) + chunk(`{"content":"\"usage\":{"}`) + done, deltas: 2, unknown: true},
		{name: "the word delta", in: `data: {"id":"delta","choices":[{"delta" : {"content":"x"}}]}` + "\n\n" + done, deltas: 1, unknown: true},
		{name: "contradictory usage", hide: true, in: strings.Replace(usage, "11", "12", 1) + done, out: done, unknown: true},
		{name: "negative usage", hide: true, in: strings.Replace(usage, "9", "-9", 1) + done, out: done, unknown: true},
		{name: "fractional usage", in: strings.Replace(usage, `:2,`, `:2.5,`, 1) + done, unknown: true},
		{name: "more cached than sent", in: strings.Replace(usage, `:4}`, `:10}`, 1) + done, unknown: true},
		{
			name: "reasoning and tools", unknown: true, deltas: 4,
			in: chunk(`{"role":"assistant","content":null,"reasoning_content":"hm"}`) + chunk(`{"reasoning":"hm"}`) +
				chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}`) + chunk(`{"function_call":{"name":"f"}}`) +
				chunk(`{"tool_calls":[],"content":"","refusal":null}`) + chunk(`{}`) + done,
		},
		{name: "completions", kind: openai.Completions, in: `data: {"choices":[{"text":"a"}]}` + "\n\n" + `data: {"choices":[{"text":""}]}` + "\n\n" + usage + done, deltas: 1, usage: engine},
		{name: "CRLF", hide: true, in: strings.ReplaceAll(chunk(hi)+usage+comment+done, "\n", "\r\n"), out: strings.ReplaceAll(chunk(hi)+comment+done, "\n", "\r\n"), deltas: 1, usage: engine},
		{name: "no space, ids and names", hide: true, in: "event: message\nid: 7\ndata:" + chunk(hi)[6:] + "retry: 5\nevent: end\n" + usage + done, out: "event: message\nid: 7\ndata:" + chunk(hi)[6:] + done, deltas: 1, usage: engine},
		{name: "comments and empty data", in: comment + ":\n\ndata:\n\n" + "data: \n\n\n" + chunk(hi) + done, deltas: 1, unknown: true},
		{name: "two data lines", hide: true, in: strings.TrimSuffix(chunk(hi), "\n") + usage + done, deltas: 1, usage: engine},
		{name: "nothing after the end", in: done + chunk(hi) + "garbage", out: done, unknown: true},
		{name: "an error", in: chunk(hi) + `data: {"error":{"message":"out of memory","code":500}}` + "\n\n" + done, deltas: 1, failed: true, unknown: true},
		{name: "no error", in: `data: {"error":null}` + "\n\n" + `data: {"error":""}` + "\n\n" + done, unknown: true},
		{name: "end without line feed", in: chunk(hi) + "data: [DONE]", out: chunk(hi) + done, deltas: 1, unknown: true},
		{name: "end with one", in: chunk(hi) + "data: [DONE]\n", out: chunk(hi) + done, deltas: 1, unknown: true},
		{name: "cut between events", in: chunk(hi), deltas: 1, unknown: true, err: io.ErrUnexpectedEOF, incomplete: true},
		{name: "cut in an event", in: chunk(hi) + chunk(hi)[:50], out: chunk(hi), deltas: 1, unknown: true, err: io.ErrUnexpectedEOF, incomplete: true},
		{name: "cut in the end", in: chunk(hi) + "data: [DON", out: chunk(hi), deltas: 1, unknown: true, err: io.ErrUnexpectedEOF, incomplete: true},
		{name: "nothing", unknown: true, err: io.ErrUnexpectedEOF, incomplete: true},
		{name: "B36 text", in: chunk(hi) + "data: hello\n\n" + done, out: chunk(hi), deltas: 1, unknown: true, err: openai.ErrBadEvent, incomplete: true},
		{name: "B36 broken JSON", in: `data: {"usage":{}` + "\n\n" + done, out: "-", unknown: true, err: openai.ErrBadEvent, incomplete: true},
		{name: "B36 half a brace", in: "data: {\n\n", out: "-", unknown: true, err: openai.ErrBadEvent, incomplete: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.kind == 0 {
				tt.kind = openai.Chat
			}
			if tt.out == "" {
				tt.out = tt.in
			}
			tt.out = strings.TrimPrefix(tt.out, "-")
			if tt.err == nil {
				tt.err = io.EOF
			}
			check := func(how string, r io.Reader) {
				t.Helper()
				var s openai.Stream
				s.Reset(tt.kind, tt.hide)
				out, err := relay(&s, r)
				if out != tt.out || !errors.Is(err, tt.err) {
					t.Fatalf("%s: got %q, %v\nwant %q, %v", how, out, err, tt.out, tt.err)
				}
				if s.Deltas != tt.deltas || s.Usage != tt.usage || s.Known == tt.unknown || s.Failed != tt.failed || s.Done == tt.incomplete {
					t.Fatalf("%s: deltas %d usage %+v known %v failed %v done %v", how, s.Deltas, s.Usage, s.Known, s.Failed, s.Done)
				}
			}
			check("at once", strings.NewReader(tt.in))
			check("byte by byte", iotest.OneByteReader(strings.NewReader(tt.in)))
			check("with the end", iotest.DataErrReader(strings.NewReader(tt.in)))
			for i := range tt.in {
				check("split", io.MultiReader(strings.NewReader(tt.in[:i]), strings.NewReader(tt.in[i:])))
			}
		})
	}
}

func TestStream_keepsEventsTillTheErrorAfterThem(t *testing.T) {
	t.Parallel()
	var s openai.Stream
	s.Reset(openai.Chat, true)
	reset := errors.New("connection reset")
	out, err := relay(&s, io.MultiReader(strings.NewReader(chunk(hi)+chunk(hi)[:30]), iotest.ErrReader(reset)))
	if out != chunk(hi) || !errors.Is(err, reset) {
		t.Errorf("got %q, %v", out, err)
	}
}

// endless is a line without end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestStream_boundsAnEvent(t *testing.T) {
	t.Parallel()
	for _, start := range []string{"data: {", ": ", chunk(hi) + "data: {"} {
		var s openai.Stream
		s.Reset(openai.Chat, false)
		e := &endless{}
		_, err := relay(&s, io.MultiReader(strings.NewReader(start), e))
		if !errors.Is(err, openai.ErrEventTooLong) || e.read > 3<<20 || s.Size() > 2<<20 {
			t.Errorf("%q…: %v after %d bytes, holding %d", start, err, e.read, s.Size())
		}
	}
	// Just under the bound it passes.
	big := chunk(`{"content":"` + strings.Repeat("x", 1000<<10) + `"}`)
	var s openai.Stream
	s.Reset(openai.Chat, false)
	if out, err := relay(&s, strings.NewReader(chunk(hi)+big+done)); !errors.Is(err, io.EOF) || out != chunk(hi)+big+done {
		t.Errorf("a big event: %d bytes, %v", len(out), err)
	}
	// And the next stream is not burdened with it.
	s.Reset(openai.Chat, false)
	if s.Size() > 64<<10 {
		t.Errorf("holds %d bytes after Reset", s.Size())
	}
	quiet := openai.Stream{}
	quiet.Reset(openai.Chat, true)
	in := strings.Repeat(chunk(hi), 1000) + done
	if _, err := relay(&quiet, iotest.OneByteReader(strings.NewReader(in))); !errors.Is(err, io.EOF) || quiet.Size() > 4<<10 {
		t.Errorf("a quiet stream holds %d bytes, %v", quiet.Size(), err)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(chunk(hi)+usage+done), uint8(3), true)
	f.Add([]byte("event: x\r\ndata:{\"usage\":{\"prompt_tokens\":1},\"choices\":[]}\r\n\r\n"+done), uint8(1), true)
	f.Add([]byte(`data: {"choices":[{"text":"x"}],"usage":`+counts+"}\ndata: {}\n\n"+comment), uint8(7), false)
	f.Fuzz(func(t *testing.T, in []byte, size uint8, hide bool) {
		var whole, parts openai.Stream
		whole.Reset(openai.Chat, hide)
		parts.Reset(openai.Chat, hide)
		a, errA := relay(&whole, bytes.NewReader(in))
		b, errB := relay(&parts, &inParts{bytes.NewReader(in), int(size) + 1})
		if a != b || !errors.Is(errA, errB) || whole.Usage != parts.Usage || whole.Deltas != parts.Deltas || whole.Done != parts.Done {
			t.Fatalf("in parts of %d: %q, %v\nat once: %q, %v", size, b, errB, a, errA)
		}
		if !hide && !bytes.HasPrefix(in, bytes.TrimSuffix([]byte(a), []byte("data: [DONE]\n\n"))) {
			t.Fatalf("not what came in: %q", a)
		}
		if whole.Done != errors.Is(errA, io.EOF) {
			t.Fatalf("done %v, %v", whole.Done, errA)
		}
		// What was passed on is a stream in itself, and has no usage left.
		var again openai.Stream
		again.Reset(openai.Chat, false)
		c, _ := relay(&again, strings.NewReader(a))
		if c != a || whole.Done && again.Deltas != whole.Deltas {
			t.Fatalf("second pass: %q, first %q", c, a)
		}
	})
}

// inParts reads n bytes at a time.
type inParts struct {
	r io.Reader
	n int
}

func (p *inParts) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

func BenchmarkStream(b *testing.B) {
	const chunks = 200
	in := []byte(strings.Repeat(chunk(`{"content":" token"}`), chunks) + usage + done)
	for name, size := range map[string]int{"alone": len(chunk(`{"content":" token"}`)), "batched": 32 << 10} {
		b.Run(name, func(b *testing.B) {
			var s openai.Stream
			r := bytes.NewReader(in)
			b.ReportAllocs()
			for b.Loop() {
				s.Reset(openai.Chat, true)
				r.Reset(in)
				parts := inParts{r, size}
				var err error
				for err == nil {
					_, err = s.Next(&parts)
				}
				if !s.Known || s.Deltas != chunks {
					b.Fatal(s)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunks, "ns/chunk")
		})
	}
}
