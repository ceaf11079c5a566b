package openai

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const maxMessage = 4 << 10 // bytes of an engine's message that are passed on

// UpstreamError returns what a client is told when the engine refused its
// request or failed at it with a status of 400 or more: the engine's status,
// message and type, in OpenAI's shape whatever the engine's own. An engine
// that refuses the gateway's own credentials is the operator's problem, so
// 401 and 403 become 502. after is the value of its Retry-After.
func UpstreamError(status int, after string, body []byte) *Error {
	e := upstreamMessage(body)
	e.Status = status
	e.Retry = status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
	e.RetryAfter = retryAfter(after)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &Error{
			Status: http.StatusBadGateway, Type: ServerError, Code: "upstream_refused",
			Message: "The model's server refused the gateway's credentials; an administrator must correct the endpoint's key.",
		}
	case e.Message == "":
		e.Message = "The model's server answered with status " + strconv.Itoa(status) + " and no message."
	case status == http.StatusBadRequest && tooLong(e):
		e.Code = "context_length_exceeded"
	}
	if e.Type == "" {
		e.Type = ServerError
		if status < 500 {
			e.Type = InvalidRequest
		}
	}
	if e.Code == "" {
		switch {
		case status == http.StatusTooManyRequests:
			e.Code = "upstream_overloaded"
		case status >= 500:
			e.Code = "upstream_error"
		default:
			e.Code = "upstream_rejected"
		}
	}
	return e
}

// ErrorAnswer returns what a client is told when the engine has answered with
// status 200 and an error. The status is the one that the error names as its
// code, as some engines and most relays to others do, or goes with its type;
// else it is 502.
func ErrorAnswer(body []byte) *Error {
	var answer struct {
		Error struct {
			Type string          `json:"type"`
			Code json.RawMessage `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // of another shape: it says neither
	status, err := strconv.Atoi(strings.Trim(string(answer.Error.Code), `"`))
	if err != nil || status < http.StatusBadRequest || status > 599 {
		switch answer.Error.Type {
		case InvalidRequest, "BadRequestError": // vLLM's
			status = http.StatusBadRequest
		case RateLimit:
			status = http.StatusTooManyRequests
		default:
			status = http.StatusBadGateway
		}
	}
	return UpstreamError(status, "", body)
}

// tooLong reports whether an engine refuses a prompt because it does not fit its
// context: vLLM and SGLang say so in words, llama.cpp by its type.
func tooLong(e *Error) bool {
	return e.Type == "exceed_context_size_error" || strings.Contains(e.Message, "maximum context length") ||
		strings.Contains(e.Message, "model's context length")
}

// upstreamMessage reads the shapes that engines use: OpenAI's object, vLLM's
// older flat one, a bare string, FastAPI's detail.
func upstreamMessage(body []byte) *Error {
	type details struct {
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Param   json.RawMessage `json:"param"`
		Code    json.RawMessage `json:"code"`
	}
	var answer struct {
		details

		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return &Error{}
	}
	d := answer.details
	if text := str(answer.Error); text != "" {
		d.Message = text
	} else if len(answer.Error) > 0 {
		_ = json.Unmarshal(answer.Error, &d) // of another shape: no message
	} else if d.Message == "" && len(answer.Detail) > 0 {
		if d.Message = str(answer.Detail); d.Message == "" {
			d.Message = string(answer.Detail)
		}
	}
	if len(d.Message) > maxMessage {
		d.Message = strings.ToValidUTF8(d.Message[:maxMessage], "") + "…"
	}
	return &Error{Message: d.Message, Type: d.Type, Param: str(d.Param), Code: str(d.Code)}
}

// str returns the string that raw is, or "" if it is something else.
func str(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// retryAfter reads a Retry-After of whole seconds; 0 if there is none.
func retryAfter(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 24*60*60 {
		return 0
	}
	return time.Duration(n) * time.Second
}
