package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// ReadJSON decodes the request's body into v. It is strict: the content type
// must be JSON, a field that v does not have is refused by name, and so is
// anything behind the value. Faults say where, by byte or by JSON pointer.
func ReadJSON(c *echo.Context, v any) error {
	req := c.Request()
	media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || media != echo.MIMEApplicationJSON {
		return fault.New(fault.Invalid, "The body must be JSON.").WithKind(KindUnsupportedMedia).
			WithFix("Send Content-Type: application/json.")
	}
	dec := json.NewDecoder(req.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return jsonFault(err, dec.InputOffset())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return tooLarge
		}
		if f := fault.As(err); f != nil {
			return f
		}
		return invalidJSON("Something follows the JSON value", dec.InputOffset())
	}
	return nil
}

func jsonFault(err error, offset int64) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	if bad, ok := errors.AsType[*time.ParseError](err); ok {
		return fault.Newf(fault.Invalid, "%.60s is not a moment.", bad.Value).WithKind(KindInvalidParameter).
			WithFix("Write it as 2026-01-31T12:00:00Z.")
	}
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := bad.Field
		if field == "" {
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
		return f // from an UnmarshalText that knows a sentence
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
