package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// ReadJSON decodes the request's body into v. It is strict: the content type
// must be JSON, a field that v does not have is refused by name, as is one that
// it requires and the body lacks, and so is anything behind the value. Faults say where, by byte or by JSON pointer.
func ReadJSON(c *echo.Context, v any) error {
	req := c.Request()
	media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || media != echo.MIMEApplicationJSON {
		return fault.New(fault.Invalid, "The body must be JSON.").WithKind(KindUnsupportedMedia).
			WithFix("Send Content-Type: application/json.")
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return jsonFault(err, int64(len(body)), "")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return jsonFault(err, dec.InputOffset(), refusedField(body, v))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalidJSON("Something follows the JSON value", dec.InputOffset())
	}
	return refuseMissing(body, v)
}

// mostTried is more fields than any request has: a body of two MiB may have a hundred
// thousand.
const mostTried = 100

// refusedField names the field of body that its type in v does not take. Of types
// that read themselves, such as moments and amounts, encoding/json does not tell.
func refusedField(body []byte, v any) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || len(fields) > mostTried {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		alone, err := json.Marshal(map[string]json.RawMessage{name: fields[name]})
		if err == nil && json.Unmarshal(alone, reflect.New(reflect.TypeOf(v).Elem()).Interface()) != nil {
			return name
		}
	}
	return ""
}

// jsonFault says what is wrong with a body: at which byte, or with which field.
func jsonFault(err error, offset int64, field string) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	if bad, ok := errors.AsType[*time.ParseError](err); ok {
		return fault.Newf(fault.Invalid, "%.60s is not a moment.", bad.Value).WithKind(KindInvalidParameter).
			WithFix("Write it as 2026-01-31T12:00:00Z.").WithField(field)
	}
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if field = bad.Field; field == "" {
			return fault.Newf(fault.Invalid, "The body is a JSON %s where an object was expected.", kindOf(bad)).
				WithKind(KindInvalidJSON)
		}
		return fault.Newf(fault.Invalid, "%s is a JSON %s, which does not fit there.", field, kindOf(bad)).
			WithKind(KindInvalidParameter).WithField(field)
	}
	if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
		return invalidJSON("The body is not valid JSON", bad.Offset)
	}
	switch {
	case errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, "The body is empty.").WithKind(KindInvalidJSON).
			WithFix("Send a JSON object.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalidJSON("The JSON ends too early", offset)
	}
	// encoding/json has no type for this one.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return fault.Newf(fault.Invalid, "There is no field %q here.", name).
			WithKind(KindUnknownField).WithField("/" + name).WithFix("Leave it out, or check its spelling.")
	}
	if f := fault.As(err); f != nil {
		return f // of the body, or of a type that knows a sentence
	}
	if field != "" {
		return fault.Newf(fault.Invalid, "%s cannot be accepted: %.200v.", field, err).WithKind(KindInvalidParameter).WithField(field)
	}
	return invalidJSON("The body could not be read", offset).WithCause(err)
}

func invalidJSON(what string, offset int64) *fault.Error {
	return fault.New(fault.Invalid, fmt.Sprintf("%s, at byte %d.", what, offset)).WithKind(KindInvalidJSON)
}

// kindOf returns the word for what was found: encoding/json says "number 1.5"
// with the value.
func kindOf(e *json.UnmarshalTypeError) string {
	kind, _, _ := strings.Cut(e.Value, " ")
	return kind
}
