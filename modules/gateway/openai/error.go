package openai

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
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

// errorBody is the JSON around an Error. Absent param and code are null, as
// OpenAI writes them.
type errorBody struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

// JSON returns the error's body, {"error":{…}}, without a final line feed.
func (e *Error) JSON() []byte {
	var body errorBody
	body.Error.Message, body.Error.Type = e.Message, e.Type
	if e.Param != "" {
		body.Error.Param = &e.Param
	}
	if e.Code != "" {
		body.Error.Code = &e.Code
	}
	text, err := json.Marshal(body)
	if err != nil { // strings always marshal
		panic(err)
	}
	return text
}

// Event returns the error as a server-sent event, for a stream that has begun.
func (e *Error) Event() []byte {
	event := append([]byte("data: "), e.JSON()...)
	return append(event, "\n\n"...)
}

// Write answers a request with the error. Besides the body it always sets
// x-request-id and x-should-retry, which the SDKs obey before the status, and
// Retry-After in whole seconds, rounded up, where the error has one.
func (e *Error) Write(w http.ResponseWriter, requestID string) {
	body := e.JSON()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Request-Id", requestID)
	h.Set("X-Should-Retry", strconv.FormatBool(e.Retry))
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that has left needs no answer
}
