// Package fault holds the errors that are meant for people: a code a program
// can switch on, a sentence a person can act on, and nothing secret.
//
// Every other error is ours: it is wrapped once per boundary, logged with the
// request id, and shown as "Internal error".
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of fault it is. Package web answers each with one HTTP
// status, of which package cli makes an exit code.
type Code string

// The codes, in the order of those exit codes.
const (
	Invalid     Code = "invalid"     // the request itself is wrong
	Signin      Code = "signin"      // nobody, or nobody known, is asking
	Denied      Code = "denied"      // known, but not allowed
	NotFound    Code = "not_found"   // not there, or another organisation's
	Conflict    Code = "conflict"    // the state of the thing forbids it
	Exhausted   Code = "exhausted"   // quota, stock or budget is used up
	Throttled   Code = "throttled"   // too many requests, try later
	Timeout     Code = "timeout"     // waited and gave up
	Unavailable Code = "unavailable" // a part we need is away
	Internal    Code = "internal"    // ours; what people are shown in place of an error that is no fault
)

// Error is a fault with its code, the sentence for people and, when there is
// one, what to do about it and the name of the field it is about.
type Error struct {
	Code  Code
	Text  string // what happened and why: one or two whole sentences
	Fix   string // what to do; may be empty
	Field string // the request field it is about; may be empty
	Kind  string // a finer machine-readable code, such as "out_of_stock"; may be empty
	Err   error  // the cause, for the log only; may be nil

	After time.Duration // until it is worth trying again; 0: nobody knows
}

// New returns a fault with code and a sentence for people.
func New(code Code, text string) *Error { return &Error{Code: code, Text: text} }

// Newf is New with formatting.
func Newf(code Code, format string, args ...any) *Error {
	return New(code, fmt.Sprintf(format, args...))
}

// WithFix returns a copy of e that also says what to do.
func (e *Error) WithFix(fix string) *Error { c := *e; c.Fix = fix; return &c }

// WithField returns a copy of e that names the request field it is about.
func (e *Error) WithField(field string) *Error { c := *e; c.Field = field; return &c }

// WithKind returns a copy of e with a finer machine-readable code.
func (e *Error) WithKind(kind string) *Error { c := *e; c.Kind = kind; return &c }

// WithAfter returns a copy of e that says when it is worth trying again.
func (e *Error) WithAfter(d time.Duration) *Error { c := *e; c.After = d; return &c }

// WithCause returns a copy of e that carries err for the log.
func (e *Error) WithCause(err error) *Error { c := *e; c.Err = err; return &c }

// Error returns the sentence, followed by the cause when there is one. It is
// for logs; people are shown Text and Fix.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + " (" + e.Err.Error() + ")"
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// As returns the fault in err's chain, or nil when err is not meant for people.
func As(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}

// CodeOf returns the code of the fault in err's chain: Internal when there is
// none, and the empty code for a nil error.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e := As(err); e != nil {
		return e.Code
	}
	return Internal
}

// Is reports whether err is a fault with code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }
