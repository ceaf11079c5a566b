package openai

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// Error types as OpenAI's SDKs know them.
const (
	InvalidRequest = "invalid_request_error"
	Authentication = "authentication_error"
	Permission     = "permission_error"
	NotFound       = "not_found_error"
	RateLimit      = "rate_limit_error"
	ServerError    = "server_error"
)

// Error is a refusal or a failure in OpenAI's shape. Its Message is for the
// developer at the other end and must say what to do.
type Error struct {
	Status     int           // HTTP status
	Type       string        // one of the constants above, or the engine's own
	Code       string        // stable identifier, such as "model_not_found"
	Param      string        // the field at fault, such as "messages[3].role"; "" if none
	Message    string        // what happened, why, what to do
	Retry      bool          // whether sending the same request again can help
	RetryAfter time.Duration // when to; 0 says nothing
}

// Error returns the message with its code.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// JSON returns the error's body, {"error":{…}}, without a final line feed. Absent
// param and code are null, as OpenAI writes them. It takes no reflection, since
// whoever floods us with bad keys is sent it thousands of times a second.
func (e *Error) JSON() []byte {
	b := make([]byte, 0, len(e.Message)+len(e.Type)+len(e.Param)+len(e.Code)+80)
	b = appendText(append(b, `{"error":{"message":`...), e.Message)
	b = appendText(append(b, `,"type":`...), e.Type)
	b = appendOrNull(append(b, `,"param":`...), e.Param)
	b = appendOrNull(append(b, `,"code":`...), e.Code)
	return append(b, "}}"...)
}

func appendOrNull(b []byte, text string) []byte {
	if text == "" {
		return append(b, "null"...)
	}
	return appendText(b, text)
}

// appendText appends text as encoding/json writes it, and has it do so where more
// than quotation marks are needed.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c >= utf8.RuneSelf, c == '"', c == '\\', c == '<', c == '>', c == '&':
			written, _ := json.Marshal(text) // strings always marshal
			return append(b, written...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// Event returns the error as a server-sent event, for a stream that has begun.
func (e *Error) Event() []byte {
	event := append([]byte("data: "), e.JSON()...)
	return append(event, "\n\n"...)
}

var ( // values of header fields, that nobody changes
	jsonType    = []string{"application/json"}
	shouldRetry = map[bool][]string{true: {"true"}, false: {"false"}}
)

// Write answers a request with the error. Besides the body it always sets
// x-request-id and x-should-retry, which the SDKs obey before the status, and
// Retry-After in whole seconds, rounded up, where the error has one.
func (e *Error) Write(w http.ResponseWriter, requestID string) {
	body := e.JSON()
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Request-Id"] = []string{requestID}
	h["X-Should-Retry"] = shouldRetry[e.Retry]
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that has left needs no answer
}
