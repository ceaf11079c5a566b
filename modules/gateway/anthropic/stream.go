package anthropic

import (
	"errors"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// pingEvery is after how many pieces that are not shown, or not yet, the client
// is told that the model is at work.
const pingEvery = 32

// What makes a stream one that cannot be translated.
var (
	errMixed   = errors.New("a piece of a tool call belongs to none")
	errTooLong = errors.New("too much waits for the end of a tool call")
)

// stream is the state of an answer in the making.
type stream struct {
	out      []byte
	begun    bool
	failed   bool
	tellings []*telling // the first one is open
	index    int        // of it, or of the block that comes next
	spoken   int        // the last index of which there was more than a beginning
	waiting  int        // bytes of the others
	calls    chat.Calls
	called   bool // there was a tool call
	unshown  int
	ending   ending
	usage    usage
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
			s.begun, m.names = true, names{}
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
			s.ending = ended(choice, s.called)
			s.closeAll()
		}
	}
	return nil
}

func (m *Messages) said(d *chat.Said) error {
	s := &m.stream
	if thought := d.Reasoning(); thought != "" {
		if m.thinks {
			s.say(s.in("thinking", thinkingBlock{Type: "thinking"}), thought)
		} else {
			s.unsaid()
		}
	}
	if text := d.Content + d.Refusal; text != "" {
		s.say(s.in("text", textBlock{Type: "text"}), text)
	}
	for i := range d.ToolCalls {
		if err := m.piece(&d.ToolCalls[i]); err != nil {
			return err
		}
	}
	if s.waiting+blockBytes*s.calls.Len() > maxWaiting {
		return errTooLong
	}
	return nil
}

// finish ends the message as a whole one.
func (s *stream) finish() {
	s.closeAll()
	if s.ending.StopReason == "" { // the engine does not say
		s.ending = ended(&chat.AnswerChoice{}, s.called)
	}
	s.event("message_delta", messageDelta{"message_delta", s.ending, s.usage})
	s.event("message_stop", messageStop{"message_stop"})
}
