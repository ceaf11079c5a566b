package anthropic

import (
	"errors"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// pingEvery is after how many pieces of reasoning that is not shown the client
// is told that the model is at work.
const pingEvery = 32

// errMixed is returned for a stream whose pieces cannot be put in order.
var errMixed = errors.New("the pieces of tool calls are out of order")

// stream is the state of an answer in the making.
type stream struct {
	out     []byte
	begun   bool
	failed  bool
	open    string // type of the block that is open; "" for none
	index   int    // of the block that is open, or comes next
	call    int    // of the tool call whose block is open
	callID  string // its id, as the engine says
	calls   bool   // there was a tool call
	unshown int
	ending  ending
	usage   usage
}

// Events returns events of a stream of chunks as those of a message. With an
// error come those before it.
func (m *Messages) Events(engine []byte) ([]byte, error) {
	s := &m.stream
	s.out = s.out[:0]
	for data := range chat.Payloads(engine) {
		if s.failed {
			break
		}
		if chat.IsDone(data) {
			if !s.begun {
				return s.out, chat.ErrNoAnswer
			}
			s.finish()
			continue
		}
		c, err := chat.ParseChunk(data)
		if err != nil {
			return s.out, err //nolint:wrapcheck // says enough
		}
		if e := c.Failure(); e != nil {
			s.fail(e)
			continue
		}
		if !s.begun {
			s.begun = true
			s.event("message_start", messageStart{"message_start", m.begun(c)})
			s.event("ping", ping{"ping"})
		}
		if err := m.chunk(c); err != nil {
			return s.out, err
		}
	}
	return s.out, nil
}

// Ping is the event by which a stream shows that it is alive. It may come at any
// time, also before the message starts.
const Ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n"

// Error returns the event that ends the stream with an error, once.
func (m *Messages) Error(e *openai.Error) []byte {
	s := &m.stream
	s.out = s.out[:0]
	if !s.failed {
		s.fail(e)
	}
	return s.out
}

func (s *stream) fail(e *openai.Error) {
	s.failed = true
	s.event("error", failure{Type: "error", Error: problemOf(e)})
}

func (s *stream) event(name string, v any) { s.out = chat.AppendEvent(s.out, name, v) }

func (m *Messages) chunk(c *chat.Answer) error {
	s := &m.stream
	if c.Usage != nil {
		s.usage = usageOf(c.Usage)
	}
	for i := range c.Choices {
		choice := &c.Choices[i]
		if choice.Index != 0 {
			continue // one was asked for
		}
		if err := m.said(&choice.Delta); err != nil {
			return err
		}
		if choice.FinishReason != "" {
			s.ending = ended(choice, s.calls)
		}
	}
	return nil
}

func (m *Messages) said(d *chat.Said) error {
	s := &m.stream
	if thought := d.Reasoning(); thought != "" {
		if m.thinks {
			s.in("thinking", thinkingBlock{Type: "thinking"})
			s.delta(delta{Type: "thinking_delta", Thinking: thought})
		} else if s.unshown++; s.unshown%pingEvery == 0 {
			s.event("ping", ping{"ping"})
		}
	}
	if text := d.Content + d.Refusal; text != "" {
		s.in("text", textBlock{Type: "text"})
		s.delta(delta{Type: "text_delta", Text: text})
	}
	for _, c := range d.ToolCalls {
		if c.Function.Name != "" && (s.open != "tool_use" || c.Index != s.call || c.ID != "" && c.ID != s.callID) {
			s.close()
			s.in("tool_use", toolUseBlock{Type: "tool_use", ID: m.useID(c.ID, s.index), Name: c.Function.Name, Input: input("")})
			s.call, s.callID, s.calls = c.Index, c.ID, true
		}
		if s.open != "tool_use" || c.Index != s.call {
			return errMixed
		}
		if c.Function.Arguments != "" {
			s.delta(delta{Type: "input_json_delta", JSON: c.Function.Arguments})
		}
	}
	return nil
}

// in sees to it that a block of a type is open.
func (s *stream) in(kind string, begin any) {
	if s.open == kind {
		return
	}
	s.close()
	s.open = kind
	s.event("content_block_start", blockStart{"content_block_start", s.index, begin})
}

func (s *stream) delta(d delta) {
	s.event("content_block_delta", blockDelta{"content_block_delta", s.index, d})
}

func (s *stream) close() {
	if s.open == "" {
		return
	}
	s.event("content_block_stop", blockStop{"content_block_stop", s.index})
	s.open = ""
	s.index++
}

// finish ends the message as a whole one.
func (s *stream) finish() {
	s.close()
	if s.ending.StopReason == "" { // the engine does not say
		s.ending = ended(&chat.AnswerChoice{}, s.calls)
	}
	s.event("message_delta", messageDelta{"message_delta", s.ending, s.usage})
	s.event("message_stop", messageStop{"message_stop"})
}
