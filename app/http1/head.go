package http1

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

const maxFields = 64

// head is the head of a request. It is used again for the next one.
type head struct {
	method, path, host string
	header             http.Header
	length             int64 // of the body
	close              bool  // the connection ends with the answer
	refusal            int   // the status, if it is refused

	values [maxFields]string // what header's slices refer to
}

// verdict is what parse makes of bytes.
type verdict uint8

const (
	ours verdict = iota
	theirs
	incomplete
	refused
)

// parse reads the head that b begins with, and returns its length. Whatever is
// not plainly well formed, or not for us, is theirs.
func (h *head) parse(b []byte, mine func(path string) bool) (verdict, int) {
	// A look at the beginning, so that nobody waits for the end of a head that is
	// not ours anyway.
	line, whole := b, false
	if n := bytes.IndexByte(b, '\n'); n >= 0 {
		line, whole = b[:n+1], true
	}
	if !whole {
		if begins(line) && len(b) < maxHead {
			return incomplete, 0
		}
		return theirs, 0
	}
	if !h.requestLine(line) || !mine(h.path) {
		return theirs, 0
	}
	end := bytes.Index(b[len(line)-2:], []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) < maxHead {
			return incomplete, 0
		}
		clear(h.header)
		h.host, h.length, h.close, h.refusal = "", -1, true, http.StatusRequestHeaderFieldsTooLarge
		return refused, len(b)
	}
	end += len(line) - 2
	if !h.fields(string(b[len(line) : end+2])) {
		return theirs, 0
	}
	if h.refusal != 0 {
		return refused, end + 4
	}
	return ours, end + 4
}

// begins reports whether b may be the beginning of a request line of ours.
func begins(b []byte) bool {
	for _, method := range [...]string{"GET /", "POST /"} {
		if n := min(len(b), len(method)); string(b[:n]) == method[:n] {
			return true
		}
	}
	return false
}

func (h *head) requestLine(line []byte) bool {
	target, ok := bytes.CutSuffix(line, []byte(" HTTP/1.1\r\n"))
	if !ok {
		return false
	}
	switch {
	case bytes.HasPrefix(target, []byte("POST /")):
		h.method, target = http.MethodPost, target[len("POST "):]
	case bytes.HasPrefix(target, []byte("GET /")):
		h.method, target = http.MethodGet, target[len("GET "):]
	default:
		return false
	}
	for _, c := range target {
		letter, digit := 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9'
		if !letter && !digit && c != '/' && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	if string(target) != h.path { // mostly the same as before
		h.path = string(target)
	}
	return !strings.HasPrefix(h.path, "//")
}

// fields reads the header fields; text ends in the last one's CRLF.
func (h *head) fields(text string) bool {
	clear(h.header)
	h.host, h.length, h.close, h.refusal = "", -1, false, 0
	for n := 0; len(text) > 0; n++ {
		line, rest, ok := strings.Cut(text, "\r\n")
		text = rest
		name, value, colon := strings.Cut(line, ":")
		if !ok || !colon || n == maxFields {
			return false
		}
		canonical, token := isToken(name)
		if !token {
			return false
		}
		if !canonical {
			name = textproto.CanonicalMIMEHeaderKey(name)
		}
		if value = strings.Trim(value, " \t"); !isText(value) || !h.field(name, value, n) {
			return false
		}
	}
	switch {
	case h.host == "":
		return false
	case h.method == http.MethodGet:
		return h.length <= 0
	}
	return h.length >= 0
}

func (h *head) field(name, value string, n int) bool {
	switch name {
	case "Host":
		if h.host != "" || value == "" || strings.ContainsAny(value, "/\\?#@ \t\"<>^`{|},%") {
			return false
		}
		h.host = value
		return true // net/http keeps it out of the header as well
	case "Content-Length":
		length, err := strconv.ParseUint(value, 10, 62)
		if err != nil || h.length >= 0 || len(value) > 1 && value[0] == '0' {
			return false
		}
		h.length = int64(length)
	case "Connection":
		switch {
		case strings.EqualFold(value, "keep-alive"):
		case strings.EqualFold(value, "close"):
			h.close = true
		default:
			return false
		}
	case "Expect":
		if strings.EqualFold(value, "100-continue") {
			return false
		}
		h.close, h.refusal = true, http.StatusExpectationFailed
	case "Transfer-Encoding", "Upgrade", "Trailer", "Http2-Settings":
		return false
	}
	if before := h.header[name]; before != nil {
		h.header[name] = append(before, value) // a slice of one: append makes another
		return true
	}
	h.values[n] = value
	h.header[name] = h.values[n : n+1 : n+1]
	return true
}

// isToken reports whether a name is made of what RFC 9110 §5.6.2 allows, and
// whether it is written as net/http would.
func isToken(name string) (canonical, ok bool) {
	canonical = true
	upper := true // the next letter ought to be
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z':
			canonical = canonical && !upper
		case 'A' <= c && c <= 'Z':
			canonical = canonical && upper
		case '0' <= c && c <= '9' || c == '-' || strings.IndexByte("!#$%&'*+.^_`|~", c) >= 0:
		default:
			return false, false
		}
		upper = c == '-'
	}
	return canonical, name != ""
}

// isText reports whether a value has no control characters but tabs.
func isText(value string) bool {
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}
