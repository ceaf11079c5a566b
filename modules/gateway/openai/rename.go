package openai

import (
	"bytes"
	"encoding/json"
)

// Renamer puts the name that a client asked for in the place of the model's own,
// in answers and in the events of a stream. Of each it reads no further than to
// the model, which engines write near the front.
type Renamer struct {
	quoted []byte
	buf    []byte
}

// NewRenamer returns a renamer to a name.
func NewRenamer(name string) *Renamer {
	quoted, _ := json.Marshal(name) // a string always marshals
	return &Renamer{quoted: quoted}
}

// Answer returns a whole answer with the client's name in it.
func (r *Renamer) Answer(answer []byte) []byte {
	r.buf = r.object(r.buf[:0], answer)
	return r.buf
}

// Events returns whole events of a stream with the client's name in them, good
// until the next call.
func (r *Renamer) Events(events []byte) []byte {
	r.buf = r.buf[:0]
	for line := range bytes.Lines(events) {
		if bytes.HasPrefix(line, []byte("data:")) {
			r.buf = r.object(r.buf, line)
		} else {
			r.buf = append(r.buf, line...)
		}
	}
	return r.buf
}

// object appends text to dst, with the model of the object in it replaced.
func (r *Renamer) object(dst, text []byte) []byte {
	s := scanner{b: text, i: max(bytes.IndexByte(text, '{'), 0)}
	if s.peek() != '{' { // [DONE]
		return append(dst, text...)
	}
	for m := s.members(maxDepth); m.next(); {
		from := s.i
		if string(m.key.of(text)) == "model" && s.peek() == '"' {
			if _, _, ok := s.str(); !ok {
				break
			}
			dst = append(dst, text[:from]...)
			dst = append(dst, r.quoted...)
			return append(dst, text[s.i:]...)
		}
		if !s.value(maxDepth - 1) {
			break
		}
	}
	return append(dst, text...)
}
