package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// Exit is the exit code of a command.
type Exit int

// The exit codes.
const (
	ExitFailed      Exit = 1
	ExitUsage       Exit = 2 // the command line, the settings, or a value in the request
	ExitAuth        Exit = 3
	ExitNotFound    Exit = 4
	ExitConflict    Exit = 5
	ExitExhausted   Exit = 6 // quota, stock or budget
	ExitTimeout     Exit = 7
	ExitUnavailable Exit = 8
)

// Failure is why a command failed.
type Failure struct {
	Exit    Exit   `json:"exit_code"`
	Text    string `json:"error"`             // what happened
	Why     string `json:"why,omitempty"`     // when it is not said yet
	Fix     string `json:"fix,omitempty"`     // what to do
	Code    string `json:"code"`              // for programs
	Request string `json:"request,omitempty"` // id that finds it in the server's log

	asJSON bool // how whoever called wants to read it
}

// Error returns what happened.
func (f *Failure) Error() string { return f.Text }

// Write writes the failure to w as its reader wants it.
func (f *Failure) Write(w io.Writer) {
	if f.asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		if enc.Encode(f) == nil {
			return
		}
	}
	for _, line := range []struct{ name, text string }{
		{"error", f.Text}, {"why", f.Why}, {"fix", f.Fix}, {"code", f.Code}, {"request", f.Request},
	} {
		if line.text != "" {
			fmt.Fprintf(w, "%s: %s\n", line.name, strings.ReplaceAll(line.text, "\n", "\n  "))
		}
	}
}

// mistake is a mistake in the command line.
func mistake(text, fix string) *Failure {
	return &Failure{Exit: ExitUsage, Text: text, Fix: fix, Code: "usage"}
}

// settings turns what is wrong with the settings into a failure.
func settings(err error) error {
	bad, ok := errors.AsType[*config.Error](err)
	if !ok {
		return err
	}
	first := bad.Problems[0]
	f := &Failure{Exit: ExitUsage, Text: first.Text, Fix: first.Fix, Code: "invalid_setting"}
	var more []string
	for _, p := range bad.Problems[1:] {
		more = append(more, strings.TrimSpace(p.Text+" "+p.Fix))
	}
	f.Why = strings.Join(more, "\n")
	return f
}
