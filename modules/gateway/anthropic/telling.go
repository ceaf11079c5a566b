package anthropic

import "github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"

// telling is a block whose end the client was not told. Of a message one block
// is open at a time, the first of these: the others wait, with what there is of
// them, because an engine may mix the pieces of several tool calls.
type telling struct {
	place int // its index
	kind  string
	begin any         // as the client is told of it
	call  *chat.Begun // of a tool_use
	text  []byte      // that waits
}

const (
	maxWaiting = 16 << 20 // bytes
	blockBytes = 512      // that a block takes besides its text, about
)

// Keeps returns the bytes that it holds on to, about.
func (m *Messages) Keeps() int64 {
	s := &m.stream
	return 4*int64(s.waiting) + blockBytes*int64(s.calls.Len()) // as text, and as events when their turn comes
}

// in returns the block of a kind that goes on, or begins one.
func (s *stream) in(kind string, begin any) *telling {
	if n := len(s.tellings); n > 0 && s.tellings[n-1].kind == kind {
		return s.tellings[n-1]
	}
	return s.add(&telling{kind: kind, begin: begin})
}

func (s *stream) add(t *telling) *telling {
	t.place = s.index + len(s.tellings)
	s.tellings = append(s.tellings, t)
	if len(s.tellings) == 1 {
		s.open()
		return t
	}
	s.waiting += blockBytes
	s.advance()
	return t
}

// say adds text to a block. The client is told when it is the block's turn.
func (s *stream) say(t *telling, text string) {
	if !chat.Blank(text) {
		s.spoken = max(s.spoken, t.place)
	}
	if t == s.tellings[0] {
		s.delta(t.kind, text)
		s.advance()
		return
	}
	s.waiting += len(text)
	t.text = append(t.text, text...)
	if !s.advance() {
		s.unsaid()
	}
}

// piece takes up a piece of a tool call.
func (m *Messages) piece(p *chat.ToolCall) error {
	s := &m.stream
	call, begins := s.calls.Of(p)
	switch {
	case call == nil:
		return errMixed
	case begins:
		call.Place = s.index + len(s.tellings)
		s.called = true
		s.add(&telling{kind: "tool_use", call: call, begin: toolUseBlock{Type: "tool_use", ID: m.useID(p.ID, call.Place), Name: p.Function.Name, Input: input("")}})
	}
	switch at := call.Place - s.index; {
	case p.Function.Arguments == "":
	case at >= 0:
		s.say(s.tellings[at], p.Function.Arguments)
	case !chat.Blank(p.Function.Arguments): // there was a whole object already
		return errMixed
	}
	return nil
}

// advance ends the open block for one that waits, as long as nothing more of it is
// to be expected, and reports whether it did.
func (s *stream) advance() (did bool) {
	for len(s.tellings) > 1 {
		call := s.tellings[0].call
		over := call == nil || call.Over() || call.Bare() && s.spoken > s.index
		if !over {
			break
		}
		s.close()
		did = true
	}
	return did
}

// open tells of the first block what there is of it.
func (s *stream) open() {
	t := s.tellings[0]
	s.event("content_block_start", blockStart{"content_block_start", s.index, t.begin})
	if len(t.text) > 0 {
		s.delta(t.kind, string(t.text))
		t.text = nil
	}
}

// close ends the open block, and opens the next one.
func (s *stream) close() {
	s.event("content_block_stop", blockStop{"content_block_stop", s.index})
	s.index++
	s.tellings[0] = nil
	s.tellings = s.tellings[1:]
	if len(s.tellings) > 0 {
		s.waiting -= blockBytes + len(s.tellings[0].text)
		s.open()
	}
}

func (s *stream) closeAll() {
	for len(s.tellings) > 0 {
		s.close()
	}
}

func (s *stream) delta(kind, text string) {
	var d delta
	switch kind {
	case "thinking":
		d = delta{Type: "thinking_delta", Thinking: text}
	case "text":
		d = delta{Type: "text_delta", Text: text}
	case "tool_use":
		d = delta{Type: "input_json_delta", JSON: text}
	}
	s.event("content_block_delta", blockDelta{"content_block_delta", s.index, d})
}

// unsaid is called for what the client is not told now, and tells it now and then
// that the model is at work.
func (s *stream) unsaid() {
	if s.unshown++; s.unshown%pingEvery == 0 {
		s.event("ping", ping{"ping"})
	}
}
