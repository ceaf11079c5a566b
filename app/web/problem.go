package web

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Problem is an error as people and programs see it. As JSON it is RFC 9457's
// application/problem+json with three members of our own.
type Problem struct {
	Title  string `json:"title"`  // the kind of problem, in a few words
	Status int    `json:"status"` // HTTP status
	Detail string `json:"detail"` // what happened and why
	Code   string `json:"code"`   // for programs, such as "not_found" or "out_of_stock"
	Fix    string `json:"fix,omitempty"`
	// RequestID finds the request in the log.
	RequestID string       `json:"request_id"`
	Errors    []FieldError `json:"errors,omitempty"`
}

// FieldError is what is wrong with one field of a request.
type FieldError struct {
	Pointer string `json:"pointer"` // JSON pointer, such as "/engine/kind"
	Detail  string `json:"detail"`
	Code    string `json:"code,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// Kinds of faults that this package makes or answers with a status of their
// own. Modules may use them too.
const (
	KindInvalidJSON      = "invalid_json"
	KindUnknownField     = "unknown_field"
	KindMissingField     = "missing_field"
	KindInvalidParameter = "invalid_parameter"
	KindUnsupportedMedia = "unsupported_media_type"
	KindTooLarge         = "request_too_large"
	KindSlowBody         = "request_timeout"
	KindMethod           = "method_not_allowed"
	KindCrossOrigin      = "cross_origin"
	KindMisdirected      = "misdirected_request"
	KindManyFields       = "too_many_header_fields"
	KindUsedUp           = "setup_done" // a one-time link that was used or is too old
)

// statusOfKind holds the kinds whose status is not that of their code.
var statusOfKind = map[string]int{
	KindInvalidJSON:        http.StatusBadRequest,
	KindUnknownField:       http.StatusBadRequest,
	KindMissingField:       http.StatusBadRequest,
	KindInvalidParameter:   http.StatusBadRequest,
	KindUnsupportedMedia:   http.StatusUnsupportedMediaType,
	KindTooLarge:           http.StatusRequestEntityTooLarge,
	KindSlowBody:           http.StatusRequestTimeout,
	KindMethod:             http.StatusMethodNotAllowed,
	KindMisdirected:        http.StatusMisdirectedRequest,
	KindManyFields:         http.StatusRequestHeaderFieldsTooLarge,
	KindUsedUp:             http.StatusGone,
	"idempotency_mismatch": http.StatusUnprocessableEntity,
	"precondition_failed":  http.StatusPreconditionFailed,
	"upgrade_agent":        http.StatusUpgradeRequired,
}

var statusOfCode = map[fault.Code]int{
	fault.Signin:      http.StatusUnauthorized,
	fault.Denied:      http.StatusForbidden,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.Exhausted:   http.StatusConflict, // not 429: trying again does not help
	fault.Throttled:   http.StatusTooManyRequests,
	fault.Timeout:     http.StatusGatewayTimeout,
	fault.Unavailable: http.StatusServiceUnavailable,
	fault.Internal:    http.StatusInternalServerError,
}

// Status returns the HTTP status for f. fault.Invalid is 400 when the request
// could not be understood, and 422 when it was and the value of a field is
// refused.
func Status(f *fault.Error) int {
	if s, ok := statusOfKind[f.Kind]; ok {
		return s
	}
	if s, ok := statusOfCode[f.Code]; ok {
		return s
	}
	if f.Code == fault.Invalid {
		if f.Field != "" {
			return http.StatusUnprocessableEntity
		}
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// retrySoon is when to try again what is away for nobody knows how long.
const retrySoon = 5 * time.Second

// SetRetryAfter says in h when to try again, if f is answered with a status
// after which that is worth it.
func SetRetryAfter(h http.Header, f *fault.Error) {
	switch Status(f) {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		after := cmp.Or(f.After, retrySoon)
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
}

// ProblemOf returns what is shown of err. Faults show their sentence, joined
// faults each of theirs with its field; everything else is an internal error
// of which only the request id is told.
func ProblemOf(err error, requestID string) Problem {
	faults := faultsIn(err)
	first := faults[0]
	p := Problem{
		Status: Status(first), Detail: first.Text, Fix: first.Fix,
		Code: codeOf(first), RequestID: requestID,
	}
	p.Title = http.StatusText(p.Status)
	if first.Code == fault.Internal {
		p.Title = "Internal error"
	}
	for _, f := range faults {
		if f.Field != "" {
			p.Errors = append(p.Errors, FieldError{
				Pointer: pointer(f.Field), Detail: f.Text, Code: codeOf(f), Fix: f.Fix,
			})
		}
	}
	if len(faults) > 1 && len(p.Errors) == len(faults) {
		p.Detail = "Several fields cannot be accepted; see each of them."
		p.Fix = ""
	}
	return p
}

// faultsIn returns the faults that err consists of: at least one.
func faultsIn(err error) []*fault.Error {
	var all []*fault.Error
	collect(err, &all)
	if len(all) > 0 {
		return all
	}
	return []*fault.Error{standIn(err)}
}

// collect walks err as errors.As does, except that it looks into every branch
// of a joined error and not into the cause of a fault.
func collect(err error, all *[]*fault.Error) {
	switch e := err.(type) { //nolint:errorlint // this is the walk that errors.As would do
	case nil:
	case *fault.Error:
		*all = append(*all, e)
	case interface{ Unwrap() []error }:
		for _, branch := range e.Unwrap() {
			collect(branch, all)
		}
	case interface{ Unwrap() error }:
		collect(e.Unwrap(), all)
	}
}

// standIn gives the errors of echo and net/http the sentences of a fault.
func standIn(err error) *fault.Error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.Newf(fault.Invalid, "The request is larger than the %d bytes allowed here.", tooLarge.Limit).
			WithKind(KindTooLarge)
	}
	switch echo.StatusCode(err) {
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "There is nothing at this address.").
			WithFix("Check the address; it may have been mistyped.")
	case http.StatusMethodNotAllowed:
		return fault.New(fault.Invalid, "This address does not answer to this method.").WithKind(KindMethod)
	case http.StatusUnsupportedMediaType:
		return fault.New(fault.Invalid, "This content type is not understood here.").WithKind(KindUnsupportedMedia)
	case http.StatusRequestEntityTooLarge:
		return fault.New(fault.Invalid, "The request is too large.").WithKind(KindTooLarge)
	case http.StatusBadRequest:
		return fault.New(fault.Invalid, "The request could not be read.").
			WithFix("Check its parameters and its body.")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Timeout, "This took too long and was given up.").WithFix("Try again in a moment.")
	}
	return fault.New(fault.Internal, "Something went wrong on our side.").
		WithFix("Try again; if it stays, give the request id to whoever runs this installation.")
}

func codeOf(f *fault.Error) string {
	if f.Kind != "" {
		return f.Kind
	}
	return string(f.Code)
}

// pointer turns a field's name, such as "engine.kind", into a JSON pointer.
func pointer(field string) string {
	if strings.HasPrefix(field, "/") {
		return field
	}
	return "/" + strings.ReplaceAll(field, ".", "/")
}
