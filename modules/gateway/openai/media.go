package openai

import (
	"bytes"
	"net/http"
	"strconv"
)

// maxMedia is how long one picture, sound or film in a request may be, in bytes
// as written, which is Base64.
const maxMedia = 20 << 20

// pictureBytes is what a picture, sound or film counts for as part of a prompt,
// at most: about a thousand tokens.
const pictureBytes = 4 << 10

// place is where in a message a value stands.
type place int

const (
	elsewhere place = iota
	inMedia         // somewhere in a part that is no text
	atURL           // where an address is expected
)

// media moves past a value that may hold parts of messages. It refuses media
// that the engine would have to fetch for the client: it would do so from inside
// the network that it stands in. What comes along in the request itself, as a
// data URL, is let through up to a size.
func (p *parser) media(depth int, at place) *Error {
	switch p.peek() {
	case '[':
		for e := p.elements(depth); e.next(); {
			if err := p.media(depth-1, at); err != nil {
				return err
			}
		}
	case '{':
		for m := p.members(depth); m.next(); {
			if err := p.media(depth-1, placeOf(m.text(), at)); err != nil {
				return err
			}
		}
	case '"':
		text, escaped, ok := p.str()
		if ok && at != elsewhere {
			return p.mediaText(text, escaped, at)
		}
	default:
		p.value(depth)
	}
	if p.problem != "" {
		return p.invalidJSON()
	}
	return nil
}

// placeOf returns where the value of a key stands, in an object at a place.
func placeOf(key []byte, at place) place {
	switch string(key) {
	case "url":
		if at == elsewhere {
			return elsewhere
		}
		return atURL
	case "input_audio", "input_image", "input_video", "input_file", "image", "audio", "video", "file":
		return max(at, inMedia)
	}
	if bytes.HasSuffix(key, []byte("_url")) {
		return atURL
	}
	return min(at, inMedia)
}

// mediaText judges a string in a part that is no text.
func (p *parser) mediaText(text span, escaped bool, at place) *Error {
	value := text.of(p.b)
	if escaped { // some libraries escape every slash
		value = unescape(value)
	}
	switch own := hasPrefixFold(value, "data:"); {
	case len(value) > maxMedia:
		return &Error{
			Status: http.StatusRequestEntityTooLarge, Type: InvalidRequest, Code: "media_too_large",
			Message: "A picture, sound or film may have at most " + strconv.Itoa(maxMedia) + " bytes as written; this one has " + strconv.Itoa(len(value)) + ".",
		}
	case own || len(value) == 0:
		p.pictures += max(0, len(value)-pictureBytes)
		return nil
	case at == atURL || bytes.Contains(value, []byte("://")) || hasPrefixFold(bytes.TrimSpace(value), "file:"):
		return &Error{
			Status: http.StatusBadRequest, Type: InvalidRequest, Code: "media_not_allowed",
			Message: "Media must come along in the request, as a data: URL; nothing is fetched from an address. Send data:image/png;base64,… and the like.",
		}
	}
	return nil
}

// hasPrefixFold is bytes.HasPrefix without regard to the case of ASCII letters.
func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}
