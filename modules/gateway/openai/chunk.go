package openai

import "bytes"

// payload looks at the data of one line: counts it if it carries content, and
// takes the usage from it. It returns the bytes of it that are to be cut.
func (s *Stream) payload(d []byte) (cut span, err error) {
	switch {
	case len(d) == 0:
		return span{}, nil
	case string(d) == "[DONE]":
		s.last = true
		return span{}, nil
	}
	d = bytes.TrimRight(d, " \t")
	if len(d) < 2 || d[0] != '{' || d[len(d)-1] != '}' {
		return span{}, ErrBadEvent
	}
	content, chunk := s.content(d)
	if content {
		s.Deltas++
	}
	if chunk && !bytes.Contains(d, []byte(`"usage"`)) {
		return span{}, nil // by far the most
	}
	return s.take(d, content)
}

// content reports whether d is a chunk of an answer at all, and whether it
// carries something that was generated: text, reasoning, a part of a tool
// call, or anything else that is not the role.
func (s *Stream) content(d []byte) (content, chunk bool) {
	if s.kind == Completions {
		v, ok := member(d, `"text"`)
		return ok && v.filled(), ok
	}
	v, ok := member(d, `"delta"`)
	if !ok || v.peek() != '{' {
		return false, ok
	}
	for m := v.members(maxDepth); m.next(); {
		if string(m.key.of(d)) != "role" && v.filled() {
			return true, true
		}
		if !v.value(maxDepth - 1) {
			break
		}
	}
	return false, true
}

// member returns a scanner before the first value in d that belongs to a key,
// given with its quotes, however deep. Inside a JSON string those quotes would
// be escaped, so only a key or a whole string can match, and only a key is
// followed by a colon.
func member(d []byte, key string) (s scanner, ok bool) {
	s.b = d
	for {
		n := bytes.Index(d[s.i:], []byte(key))
		if n < 0 {
			return s, false
		}
		s.i += n + len(key)
		if s.peek() == ':' {
			s.i++
			s.peek()
			return s, true
		}
	}
}

// filled reports whether the value at i is a string, a list or an object, and
// not an empty one.
func (s *scanner) filled() bool {
	if len(s.b)-s.i < 2 {
		return false
	}
	next := s.b[s.i+1]
	switch s.b[s.i] {
	case '"':
		return next != '"'
	case '[':
		return next != ']'
	case '{':
		return next != '}'
	}
	return false
}

// take reads an event that may hold usage or an error, whole, and returns what
// to cut from it. An event that has usage and neither choices nor content is
// marked to be dropped instead.
func (s *Stream) take(d []byte, content bool) (cut span, err error) {
	v := scanner{b: d}
	v.peek()
	empty, after := true, 0 // no choices so far; end of the member before
	for m := v.members(maxDepth); m.next(); after = v.i {
		from := v.i
		switch key := m.key.of(d); {
		case string(key) == "usage" && d[from] == '{':
			s.Usage, s.Known = v.usage(maxDepth - 1)
			cut = span{after, v.i} // with the comma before it
			if after == 0 {        // or the one behind it
				cut.from = m.keyAt
				if v.peek() == ',' {
					cut.to = v.i + 1
				}
			}
		case string(key) == "choices":
			empty = !v.filled()
			v.value(maxDepth - 1)
		default:
			if string(key) == "error" && v.isError() {
				s.Failed = true
			}
			v.value(maxDepth - 1)
		}
	}
	switch {
	case v.problem != "" || !v.end():
		return span{}, ErrBadEvent
	case !s.hide || cut.empty():
		return span{}, nil
	case empty && !content:
		s.drop = true
		return span{}, nil
	}
	return cut, nil
}
