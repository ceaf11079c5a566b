package responses

import (
	"strconv"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
)

const (
	functionCall = "function_call"
	itemBytes    = 512 // that an item takes besides its text, about
)

// running is an item of the output that is not whole yet. There may be several:
// an engine may mix the pieces of calls.
type running struct {
	kind  string // of its part, or functionCall
	index int
	text  []byte      // of the part, or the arguments
	call  *chat.Begun // of a functionCall
}

// part sees to it that a part of a kind is running, and returns it. A message has
// a part of its own for a refusal; nothing else has two.
func (r *Responses) part(kind string) *running {
	for _, o := range r.running {
		if o.kind == kind {
			return o
		}
	}
	begun := item{Type: "message", Role: "assistant", Content: &[]part{}}
	if kind == reasoningText {
		begun = item{Type: "reasoning", Summary: &[]part{}, Content: &[]part{}}
	}
	o := r.begins(&running{kind: kind}, begun)
	p := newPart(kind, "")
	r.tellPart(o, event{Type: "response.content_part.added", Part: &p})
	return o
}

// piece takes up a piece of a call.
func (r *Responses) piece(p *chat.ToolCall) error {
	call, begins := r.calls.Of(p)
	if call == nil {
		return errMixed
	}
	if begins {
		call.Place = len(r.items)
		r.begins(&running{kind: functionCall, call: call}, item{Type: functionCall, CallID: r.nameCall(p.ID), Name: p.Function.Name, Arguments: new(string)})
	}
	if p.Function.Arguments == "" {
		return nil
	}
	for _, o := range r.running {
		if o.index == call.Place {
			r.more(o, p.Function.Arguments)
			return nil
		}
	}
	if chat.Blank(p.Function.Arguments) {
		return nil
	}
	return errMixed // there was a whole object already
}

// nameCall returns the id of the call that begins: the engine's, or one of ours
// where it gives none, for the output must name it.
func (r *Responses) nameCall(engines string) string {
	if engines != "" {
		return engines
	}
	return "call_" + r.ID + "_" + strconv.Itoa(len(r.items))
}

// begins opens an item and ends those of which nothing more is to be expected.
func (r *Responses) begins(o *running, begun item) *running {
	still := r.running[:0]
	for _, before := range r.running {
		if before.call == nil || before.call.Over() {
			r.end(before, "")
			continue
		}
		still = append(still, before)
	}
	still = append(still, o)
	r.running = still
	prefix := map[string]string{functionCall: "fc_", reasoningText: "rs_"}[o.kind]
	if prefix == "" {
		prefix = "msg_"
	}
	o.index = len(r.items)
	begun.ID, begun.Status = prefix+r.ID+"_"+strconv.Itoa(o.index), "in_progress"
	r.items = append(r.items, begun)
	r.kept += itemBytes
	r.tell(event{Type: "response.output_item.added", OutputIndex: &o.index, Item: &begun})
	return o
}

// more adds to an item.
func (r *Responses) more(o *running, text string) {
	r.kept += len(text)
	o.text = append(o.text, text...)
	if o.kind == functionCall {
		r.tellItem(o, event{Type: "response.function_call_arguments.delta", Delta: text})
		return
	}
	e := event{Type: "response." + o.kind + ".delta", Delta: text}
	if o.kind == outputText {
		e.Logprobs = &[]any{}
	}
	r.tellPart(o, e)
}

// endAll ends what runs; why is the answer's finish reason.
func (r *Responses) endAll(why string) {
	for _, o := range r.running {
		r.end(o, why)
	}
	r.running = nil
}

func (r *Responses) end(o *running, why string) {
	text, whole := string(o.text), &r.items[o.index]
	if o.kind == functionCall {
		whole.Arguments = &text
		r.tellItem(o, event{Type: "response.function_call_arguments.done", Name: whole.Name, Arguments: &text})
	} else {
		p := newPart(o.kind, text)
		whole.Content = &[]part{p}
		r.tellPart(o, event{Type: "response." + o.kind + ".done", Text: p.Text, Refusal: p.Refusal, Logprobs: p.Logprobs})
		r.tellPart(o, event{Type: "response.content_part.done", Part: &p})
	}
	whole.Status = "completed"
	if cut := why == "length" || why == "content_filter" || why == "error"; cut && (o.call == nil || !o.call.Whole()) {
		whole.Status = "incomplete"
	}
	r.tell(event{Type: "response.output_item.done", OutputIndex: &o.index, Item: whole})
}

// tellItem tells an event of an item.
func (r *Responses) tellItem(o *running, e event) {
	e.ItemID, e.OutputIndex = r.items[o.index].ID, &o.index
	r.tell(e)
}

// tellPart tells an event of its only part.
func (r *Responses) tellPart(o *running, e event) {
	e.ContentIndex = new(int)
	r.tellItem(o, e)
}
