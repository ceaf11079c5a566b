package openai

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest in a request or an answer.
const maxDepth = 64

// span is a half-open range of bytes, b[from:to].
type span struct{ from, to int }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }
func (s span) empty() bool        { return s.from == s.to }

// scanner walks JSON text once, from left to right, and keeps to RFC 8259: no
// comments, no trailing commas, no NaN, strings in valid UTF-8. Its methods
// report false when the text is wrong and leave why and where in problem and
// at; the first problem is final.
type scanner struct {
	b       []byte
	i       int
	at      int    // offset of the problem
	problem string // what is wrong there, "" while nothing is
}

func (s *scanner) fail(at int, problem string) bool {
	if s.problem == "" {
		s.at, s.problem = at, problem
	}
	return false
}

// unexpected fails at the next byte, naming it.
func (s *scanner) unexpected(wanted string) bool {
	if s.i >= len(s.b) {
		return s.fail(len(s.b), "the text ends where "+wanted+" was expected")
	}
	c := s.b[s.i]
	if c < utf8.RuneSelf {
		return s.fail(s.i, "found "+strconv.QuoteRune(rune(c))+" where "+wanted+" was expected")
	}
	return s.fail(s.i, "found byte 0x"+strconv.FormatUint(uint64(c), 16)+" where "+wanted+" was expected")
}

// peek skips white space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\n', '\t', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// end reports whether nothing but white space is left.
func (s *scanner) end() bool {
	if s.peek(); s.i < len(s.b) {
		return s.unexpected("the end of the text")
	}
	return true
}

// value moves past one value of any kind, which may nest depth levels more.
func (s *scanner) value(depth int) bool {
	switch c := s.peek(); {
	case c == '"':
		_, _, ok := s.str()
		return ok
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.unexpected("a value")
}

func (s *scanner) object(depth int) bool {
	m := s.members(depth)
	for m.next() {
		if !s.value(depth - 1) {
			return false
		}
	}
	return s.problem == ""
}

func (s *scanner) array(depth int) bool {
	e := s.elements(depth)
	for e.next() {
		if !s.value(depth - 1) {
			return false
		}
	}
	return s.problem == ""
}

// members iterates over the object at i. After each next that reports true the
// scanner stands before the member's value, which the caller must move past.
type members struct {
	s       *scanner
	key     span // between the quotes, as written
	keyAt   int  // offset of the key's opening quote
	escaped bool // the key contains escapes
	started bool
}

func (s *scanner) members(depth int) members {
	if depth == 0 {
		s.fail(s.i, "nested deeper than "+strconv.Itoa(maxDepth)+" levels")
	}
	s.i++ // {
	return members{s: s}
}

// text returns the key, as it is meant.
func (m *members) text() []byte {
	key := m.key.of(m.s.b)
	if m.escaped {
		return unescape(key)
	}
	return key
}

func (m *members) next() bool {
	s := m.s
	if s.problem != "" {
		return false
	}
	c := s.peek()
	switch {
	case c == '}':
		s.i++
		return false
	case m.started && c != ',':
		return s.unexpected("',' or '}'")
	case m.started:
		s.i++
		c = s.peek()
	}
	m.started = true
	if c != '"' {
		return s.unexpected("a key in quotes")
	}
	m.keyAt = s.i
	var ok bool
	if m.key, m.escaped, ok = s.str(); !ok {
		return false
	}
	if s.peek() != ':' {
		return s.unexpected("':'")
	}
	s.i++
	s.peek()
	return true
}

// elements iterates over the array at i, like members over an object.
type elements struct {
	s       *scanner
	started bool
}

func (s *scanner) elements(depth int) elements {
	if depth == 0 {
		s.fail(s.i, "nested deeper than "+strconv.Itoa(maxDepth)+" levels")
	}
	s.i++ // [
	return elements{s: s}
}

func (e *elements) next() bool {
	s := e.s
	if s.problem != "" {
		return false
	}
	c := s.peek()
	switch {
	case c == ']' && !e.started:
		s.i++
		return false
	case !e.started:
		e.started = true
		return true
	case c == ']':
		s.i++
		return false
	case c != ',':
		return s.unexpected("',' or ']'")
	}
	s.i++
	s.peek()
	return true
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.unexpected("a value")
	}
	s.i += len(w)
	return true
}

func (s *scanner) number() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !s.digits() {
		return false
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > from || s.unexpected("a digit")
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str moves past the string at i and returns what stands between its quotes,
// as written, and whether that contains escapes.
func (s *scanner) str() (text span, escaped, ok bool) {
	b, open := s.b, s.i
	i := open + 1
	var wide uint64 // high bits seen: the text is not plain ASCII
	for {
		// Words of eight bytes, four at a time and then singly, up to the first
		// byte that ends a run.
		for i+32 <= len(b) {
			w := b[i : i+32]
			x0, x1 := binary.LittleEndian.Uint64(w), binary.LittleEndian.Uint64(w[8:])
			x2, x3 := binary.LittleEndian.Uint64(w[16:]), binary.LittleEndian.Uint64(w[24:])
			if ends(x0)|ends(x1)|ends(x2)|ends(x3) != 0 {
				break
			}
			wide |= x0 | x1 | x2 | x3
			i += 32
		}
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			if hit := ends(x); hit != 0 {
				n := bits.TrailingZeros64(hit) &^ 7
				wide |= x & (1<<n - 1)
				i += n >> 3
				break
			}
			wide |= x
			i += 8
		}
		if i >= len(b) {
			s.i = i
			return text, false, s.unexpected("the end of a string")
		}
		switch c := b[i]; {
		case c == '"':
			text = span{open + 1, i}
			if s.i = i + 1; wide&highs != 0 && !utf8.Valid(text.of(b)) {
				return text, escaped, s.badUTF8(text)
			}
			return text, escaped, true
		case c == '\\':
			escaped = true
			if i = s.escape(i); i < 0 {
				return text, true, false
			}
		case c < 0x20:
			return text, escaped, s.fail(i, "a string contains the control character "+strconv.QuoteRune(rune(c))+" unescaped")
		default: // the last seven bytes of the text
			wide |= uint64(c)
			i++
		}
	}
}

// ends has the high bit of each byte of x that is a quote, a backslash or a
// control character; a subtraction may also mark bytes after a true hit, never
// before it.
func ends(x uint64) uint64 {
	return ((x - ones*0x20) | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)) &^ x & highs
}

// escape checks the escape at i and returns the offset after it, or -1.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.b) {
		s.fail(len(s.b), "the text ends inside a string")
		return -1
	}
	switch s.b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if _, ok := hex4(s.b[i+2:]); ok {
			return i + 6
		}
	}
	s.fail(i, "a string contains an escape that JSON does not have")
	return -1
}

func (s *scanner) badUTF8(text span) bool {
	for i := text.from; i < text.to; {
		r, n := utf8.DecodeRune(s.b[i:text.to])
		if r == utf8.RuneError && n == 1 {
			return s.fail(i, "a string is not valid UTF-8")
		}
		i += n
	}
	return true
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape returns the text that a checked JSON string means.
func unescape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			out = append(out, text[i])
			i++
			continue
		}
		switch c := text[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(text[i+2:])
			i += 4
			if low, ok := lowSurrogate(text[i+2:]); ok && 0xD800 <= r && r < 0xDC00 {
				r = 0x10000 + (r-0xD800)<<10 + low
				i += 6
			}
			out = utf8.AppendRune(out, r) // a lone surrogate becomes U+FFFD
		default: // quote, slash, backslash
			out = append(out, c)
		}
		i += 2
	}
	return out
}

// lowSurrogate returns the low ten bits of the \uDC00 to \uDFFF escape that b
// starts with.
func lowSurrogate(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	r, ok := hex4(b[2:])
	return r - 0xDC00, ok && 0xDC00 <= r && r < 0xE000
}
