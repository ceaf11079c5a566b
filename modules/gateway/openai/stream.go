package openai

import (
	"bytes"
	"errors"
	"io"
)

const (
	maxEvent   = 1 << 20  // bytes of one event
	firstSpace = 4 << 10  // what a quiet stream holds
	readSpace  = 32 << 10 // what a busy stream reads at once
)

// What can be wrong with an engine's stream. An end without [DONE] is
// io.ErrUnexpectedEOF.
var (
	ErrEventTooLong = errors.New("an event of the stream is longer than 1 MiB")
	ErrBadEvent     = errors.New("an event of the stream is not a JSON object")
)

// Stream passes on an engine's server-sent events and watches them go by: the
// usage, the end, and how many carried content. Lines end in LF or CRLF; each
// data line holds one JSON object or [DONE]. Only whole events are passed on,
// byte for byte as they came, so a stream can be broken off cleanly at any
// time. With Reset it can be used again and again, without
// allocating.
type Stream struct {
	Usage  Usage // the last that the engine gave
	Known  bool  // whether it gave one that makes sense
	Deltas int64 // events that carried content: about the tokens generated
	Failed bool  // an event carried an error
	Done   bool  // [DONE] has come

	kind Kind
	hide bool

	// buf[from:event] is given out, buf[event:to] is an event not yet whole,
	// whose current line starts at line and has no line feed before seen.
	buf                         []byte
	from, event, line, seen, to int
	payloads                    int  // data lines of the event
	drop                        bool // the event has nothing but usage
	last                        bool // the event is [DONE]
}

// Reset prepares s for a new stream of a kind, chat or completions. With hide
// the usage is kept from the client: an event that holds nothing else is left
// out, and from others it is cut.
func (s *Stream) Reset(kind Kind, hide bool) {
	buf := s.buf
	if len(buf) > 2*readSpace {
		buf = nil // one huge event should not be remembered for ever
	}
	*s = Stream{kind: kind, hide: hide, buf: buf}
}

// Size returns the bytes of memory that s holds on to.
func (s *Stream) Size() int { return len(s.buf) }

// Next reads from r until there is at least one whole event to pass on and
// returns all there are, good until the next call. As with an io.Reader there
// can be events and an error at once; they come before it. After [DONE]
// nothing more is passed on, and a good stream ends in io.EOF.
func (s *Stream) Next(r io.Reader) ([]byte, error) {
	s.from = s.event
	for {
		if err := s.room(); err != nil {
			return nil, err
		}
		n, err := r.Read(s.buf[s.to:])
		s.to += n
		if bad := s.split(); bad != nil {
			err = bad
		} else if errors.Is(err, io.EOF) {
			err = s.finish()
		}
		if s.event > s.from || err != nil {
			return s.buf[s.from:s.event], err
		}
	}
}

// room makes space to read into: by forgetting what was given out, by moving
// the rest to the front, or by growing.
func (s *Stream) room() error {
	full := s.to == len(s.buf)
	if s.from == s.to {
		s.from, s.event, s.line, s.seen, s.to = 0, 0, 0, 0, 0
	}
	want := firstSpace
	switch {
	case s.to-s.event >= maxEvent:
		return ErrEventTooLong
	case full && len(s.buf) < readSpace: // the last read was cut short
		want = 2 * len(s.buf)
	case len(s.buf)-s.to >= firstSpace/2:
		return nil
	case s.to-s.from > len(s.buf)/2:
		want = 2 * len(s.buf)
	}
	old := s.buf
	if want = max(want, firstSpace); want > len(s.buf) {
		s.buf = make([]byte, want)
	}
	copy(s.buf, old[s.from:s.to])
	s.event, s.line, s.seen, s.to = s.event-s.from, s.line-s.from, s.seen-s.from, s.to-s.from
	s.from = 0
	return nil
}

// split takes up all the lines that are whole.
func (s *Stream) split() error {
	for !s.Done {
		n := bytes.IndexByte(s.buf[s.seen:s.to], '\n')
		if n < 0 {
			s.seen = s.to
			return nil
		}
		next := s.seen + n + 1
		line := bytes.TrimSuffix(s.buf[s.line:next-1], []byte("\r"))
		switch {
		case len(line) == 0:
			if s.drop && s.payloads == 1 {
				next = s.remove(span{s.event, next})
			}
			s.event, s.payloads, s.drop, s.Done = next, 0, false, s.last
		case bytes.HasPrefix(line, []byte("data:")):
			s.payloads++
			from := s.line + len("data:")
			for from < s.line+len(line) && s.buf[from] == ' ' {
				from++
			}
			cut, err := s.payload(s.buf[from : s.line+len(line)])
			if err != nil {
				return err
			}
			if !cut.empty() {
				s.remove(span{from + cut.from, from + cut.to})
				next -= cut.to - cut.from
			}
		}
		s.line, s.seen = next, next
	}
	s.to = s.event // what follows [DONE] is of no interest
	return nil
}

// remove takes bytes out of the buffer and returns where what followed them
// stands now.
func (s *Stream) remove(gone span) int {
	copy(s.buf[gone.from:], s.buf[gone.to:s.to])
	s.to -= gone.to - gone.from
	return gone.from
}

// finish takes up what is left when the engine has closed the stream. Only an
// unfinished [DONE] is worth anything.
func (s *Stream) finish() error {
	rest := bytes.TrimSpace(s.buf[s.event:s.to])
	s.to = s.event
	if payload, ok := bytes.CutPrefix(rest, []byte("data:")); ok && string(bytes.TrimSpace(payload)) == "[DONE]" {
		s.Done = true
		s.buf = append(s.buf[:s.event], "data: [DONE]\n\n"...)
		s.event, s.to = len(s.buf), len(s.buf)
	}
	if !s.Done {
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}
