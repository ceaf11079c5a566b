package anthropic

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// StatusOverloaded is Anthropic's status for a service that has too much to do.
const StatusOverloaded = 529

// Status returns the status that an error has here.
func Status(openAIs int) int {
	if openAIs == http.StatusServiceUnavailable {
		return StatusOverloaded
	}
	return openAIs
}

// errorType returns the type that goes with a status.
func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "timeout_error"
	case StatusOverloaded:
		return "overloaded_error"
	}
	if status < http.StatusInternalServerError {
		return "invalid_request_error"
	}
	return "api_error"
}

// problemOf returns an error in Anthropic's words, which have no place for the
// field and the code: they stand in the message, at its beginning and end.
func problemOf(e *openai.Error) problem {
	message := e.Message
	if !strings.Contains(message, e.Param) {
		message = e.Param + ": " + message
	}
	if e.Code != "" {
		message += " (" + e.Code + ")"
	}
	return problem{errorType(Status(e.Status)), message}
}

// WriteError answers a request with an error in Anthropic's shape and with its
// status. The headers are those of openai.Error.Write and request-id.
func WriteError(w http.ResponseWriter, e *openai.Error, requestID string) {
	body := chat.Encode(failure{Type: "error", Error: problemOf(e), RequestID: requestID})
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Request-Id", requestID)
	h.Set("Request-Id", requestID)
	h.Set("X-Should-Retry", strconv.FormatBool(e.Retry))
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	w.WriteHeader(Status(e.Status))
	_, _ = w.Write(body) // a client that has left needs no answer
}

// CheckVersion refuses a request that asks for a version of the API that is not
// spoken here. The two that are differ in what they refuse: the later one takes
// no temperature, which the models served here do have.
func CheckVersion(h http.Header) *openai.Error {
	for _, asked := range h["Anthropic-Version"] {
		if asked != "2023-06-01" && asked != "2026-10-21" {
			return chat.Unsupported("anthropic-version", "anthropic-version: 2023-06-01 and 2026-10-21 are spoken here.")
		}
	}
	return nil
}
