package responses

import (
	"errors"
	"strconv"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// maxOutput bounds what is kept of an answer, in bytes: events at its end repeat
// all of it.
const maxOutput = 16 << 20

// What makes a stream one that cannot be translated.
var (
	errMixed   = errors.New("the pieces of tool calls are out of order")
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

	items []item // that are whole
	open  string // part type, or function_call, of the item that is open; "" for none
	item  item
	text  []byte // of the part, or the arguments, that are open
	kept  int    // bytes of all items

	call   int    // index of the call that is open
	callID string // its id, as the engine says
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
			r.close(r.finish)
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
	r.close("error")
	broken := r.response("failed")
	broken.Error = &failure{"server_error", e.Message + " (" + e.Code + ")"}
	r.tell(event{Type: "response.failed", Response: broken})
}

// begin takes up what the first chunk says of the whole.
func (r *Responses) begin(c *chat.Answer) {
	if r.begun {
		return
	}
	r.begun, r.created, r.model = true, c.Created, c.Model
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
		}
	}
	return nil
}

// said takes up a piece of the answer.
func (r *Responses) said(d *chat.Said) error {
	for _, p := range [...]struct{ kind, text string }{{reasoningText, d.Reasoning()}, {outputText, d.Content}, {refusal, d.Refusal}} {
		if p.text == "" {
			continue
		}
		r.in(p.kind)
		if err := r.more(p.text); err != nil {
			return err
		}
	}
	for i := range d.ToolCalls {
		c := &d.ToolCalls[i]
		if c.Function.Name != "" && (r.open != functionCall || c.Index != r.call || c.ID != "" && c.ID != r.callID) {
			r.close("")
			r.begins(functionCall, item{Type: functionCall, CallID: r.nameCall(c.ID), Name: c.Function.Name, Arguments: new(string)})
			r.call, r.callID = c.Index, c.ID
		}
		if r.open != functionCall || c.Index != r.call {
			return errMixed
		}
		if c.Function.Arguments == "" {
			continue
		}
		if err := r.more(c.Function.Arguments); err != nil {
			return err
		}
	}
	return nil
}

// nameCall returns the id of the call that begins: the engine's, or one of ours
// where it gives none, for the output must name it.
func (r *Responses) nameCall(engines string) string {
	if engines != "" {
		return engines
	}
	return "call_" + r.ID + "_" + strconv.Itoa(len(r.items))
}

const functionCall = "function_call"

// in sees to it that a part of a kind is open. A message has a part of its own
// for a refusal; nothing else has two.
func (r *Responses) in(kind string) {
	if r.open == kind {
		return
	}
	r.close("")
	begun := item{Type: "message", Role: "assistant", Content: &[]part{}}
	if kind == reasoningText {
		begun = item{Type: "reasoning", Summary: &[]part{}, Content: &[]part{}}
	}
	r.begins(kind, begun)
	p := newPart(kind, "")
	r.tellPart(event{Type: "response.content_part.added", Part: &p})
}

// begins opens an item.
func (r *Responses) begins(kind string, begun item) {
	prefix := map[string]string{functionCall: "fc_", reasoningText: "rs_"}[kind]
	if prefix == "" {
		prefix = "msg_"
	}
	begun.ID, begun.Status = prefix+r.ID+"_"+strconv.Itoa(len(r.items)), "in_progress"
	r.open, r.item, r.text = kind, begun, r.text[:0]
	index := len(r.items)
	r.tell(event{Type: "response.output_item.added", OutputIndex: &index, Item: &begun})
}

// more adds to what is open.
func (r *Responses) more(text string) error {
	if r.kept += len(text); r.kept > maxOutput {
		return errTooLong
	}
	r.text = append(r.text, text...)
	if r.open == functionCall {
		r.tellItem(event{Type: "response.function_call_arguments.delta", Delta: text})
		return nil
	}
	e := event{Type: "response." + r.open + ".delta", Delta: text}
	if r.open == outputText {
		e.Logprobs = &[]any{}
	}
	r.tellPart(e)
	return nil
}

// close ends the item that is open; why is the answer's finish reason if it was
// the last one.
func (r *Responses) close(why string) {
	if r.open == "" {
		return
	}
	text := string(r.text)
	if r.open == functionCall {
		r.item.Arguments = &text
		r.tellItem(event{Type: "response.function_call_arguments.done", Name: r.item.Name, Arguments: &text})
	} else {
		p := newPart(r.open, text)
		r.item.Content = &[]part{p}
		r.tellPart(event{Type: "response." + r.open + ".done", Text: p.Text, Refusal: p.Refusal, Logprobs: p.Logprobs})
		r.tellPart(event{Type: "response.content_part.done", Part: &p})
	}
	r.item.Status = "completed"
	if why == "length" || why == "content_filter" || why == "error" {
		r.item.Status = "incomplete"
	}
	whole, index := r.item, len(r.items)
	r.tell(event{Type: "response.output_item.done", OutputIndex: &index, Item: &whole})
	r.items = append(r.items, whole)
	r.open = ""
}

// tellItem tells an event of the item that is open.
func (r *Responses) tellItem(e event) {
	index := len(r.items)
	e.ItemID, e.OutputIndex = r.item.ID, &index
	r.tell(e)
}

// tellPart tells an event of its only part.
func (r *Responses) tellPart(e event) {
	e.ContentIndex = new(int)
	r.tellItem(e)
}
