package responses

import (
	"errors"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// maxOutput bounds what is kept of an answer, in bytes: events at its end repeat
// all of it.
const maxOutput = 16 << 20

// What makes a stream one that cannot be translated.
var (
	errMixed   = errors.New("a piece of a tool call belongs to none")
	errTooLong = errors.New("the answer is too long")
)

// stream is the state of a response in the making.
type stream struct {
	out      []byte
	quiet    bool // no events are told
	sequence int
	begun    bool
	failed   bool

	created int64
	model   string
	usage   *chat.Usage
	finish  string

	items   []item // by output index
	running []*running
	kept    int // bytes of all items, about
	calls   chat.Calls
}

// event is one event of a stream; which fields it has depends on its type.
type event struct {
	Type         string    `json:"type"`
	Sequence     int       `json:"sequence_number"`
	Response     *response `json:"response,omitempty"`
	OutputIndex  *int      `json:"output_index,omitempty"`
	Item         *item     `json:"item,omitempty"`
	ItemID       string    `json:"item_id,omitempty"`
	ContentIndex *int      `json:"content_index,omitempty"`
	Part         *part     `json:"part,omitempty"`
	Delta        string    `json:"delta,omitempty"`
	Text         *string   `json:"text,omitempty"`
	Refusal      *string   `json:"refusal,omitempty"`
	Name         string    `json:"name,omitempty"`
	Arguments    *string   `json:"arguments,omitempty"`
	Logprobs     *[]any    `json:"logprobs,omitempty"`
}

func (s *stream) tell(e event) {
	if s.quiet {
		return
	}
	e.Sequence = s.sequence
	s.sequence++
	s.out = chat.AppendEvent(s.out, e.Type, e)
}

// Events returns events of a stream of chunks as those of a response. With an
// error come those before it.
func (r *Responses) Events(engine []byte) ([]byte, error) {
	r.out = r.out[:0]
	for data := range chat.Payloads(engine) {
		if r.failed {
			break
		}
		if chat.IsDone(data) {
			if !r.begun {
				return r.out, chat.ErrNoAnswer
			}
			r.endAll(r.finish)
			whole := r.ended()
			r.tell(event{Type: "response." + whole.Status, Response: whole})
			continue
		}
		c, err := chat.ParseChunk(data)
		if err != nil {
			return r.out, err //nolint:wrapcheck // says enough
		}
		if err := r.chunk(c); err != nil {
			return r.out, err
		}
	}
	return r.out, nil
}

// Error returns the event that ends the stream with an error, once.
func (r *Responses) Error(e *openai.Error) []byte {
	r.out = r.out[:0]
	r.begin(&chat.Answer{Created: time.Now().Unix(), Model: r.asked.Model}) // readers want a beginning, even of what never was
	r.fail(e)
	return r.out
}

// fail ends the response. Clients know a few codes alone, so the error's own is
// part of the message.
func (r *Responses) fail(e *openai.Error) {
	if r.failed {
		return
	}
	r.failed = true
	r.endAll("error")
	broken := r.response("failed")
	broken.Error = &failure{"server_error", e.Message + " (" + e.Code + ")"}
	r.tell(event{Type: "response.failed", Response: broken})
}

// begin takes up what the first chunk says of the whole.
func (r *Responses) begin(c *chat.Answer) {
	if r.begun {
		return
	}
	r.begun, r.created, r.model, r.from = true, c.Created, c.Model, nil
	r.tell(event{Type: "response.created", Response: r.response("in_progress")})
	r.tell(event{Type: "response.in_progress", Response: r.response("in_progress")})
}

func (r *Responses) chunk(c *chat.Answer) error {
	r.begin(c)
	if e := c.Failure(); e != nil {
		r.fail(e)
		return nil
	}
	if c.Usage != nil {
		r.usage = c.Usage
	}
	for i := range c.Choices {
		choice := &c.Choices[i]
		if choice.Index != 0 {
			continue // one was asked for
		}
		if err := r.said(&choice.Delta); err != nil {
			return err
		}
		if choice.FinishReason != "" {
			r.finish = choice.FinishReason
			r.endAll(r.finish)
		}
	}
	return nil
}

// said takes up a piece of the answer.
func (r *Responses) said(d *chat.Said) error {
	for _, p := range [...]struct{ kind, text string }{{reasoningText, d.Reasoning()}, {outputText, d.Content}, {refusal, d.Refusal}} {
		if p.text != "" {
			r.more(r.part(p.kind), p.text)
		}
	}
	for i := range d.ToolCalls {
		if err := r.piece(&d.ToolCalls[i]); err != nil {
			return err
		}
	}
	if r.kept > maxOutput {
		return errTooLong
	}
	return nil
}
