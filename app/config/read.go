package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/pflag"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Source is where settings come from, besides flags.
type Source struct {
	Environ []string // as os.Environ returns it
	Root    bool     // whether the process runs as root
}

// Origin says where a setting's value comes from.
type Origin string

// The origins, strongest first.
const (
	OriginFlag    Origin = "flag"
	OriginEnv     Origin = "environment"
	OriginAlias   Origin = "environment, other name" // DATABASE_URL
	OriginDefault Origin = "default"
)

// Value is a setting as it is in effect, with secrets masked.
type Value struct {
	Name   string
	Value  string
	Origin Origin
}

// Effective is what Read found: every setting, and remarks for the operator.
type Effective struct {
	Values  []Value
	Notices []string
}

// Error holds everything that is wrong with the settings.
type Error struct {
	Problems []*fault.Error // at least one; Field is the setting's name
}

// Error lists the problems, one per line, each with what to do.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	if len(e.Problems) > 1 {
		lines = append(lines, fmt.Sprintf("%d settings cannot be used.", len(e.Problems)))
	}
	for _, p := range e.Problems {
		lines = append(lines, strings.TrimSpace(p.Text+" "+p.Fix))
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes each problem visible as a fault.
func (e *Error) Unwrap() []error {
	all := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = p
	}
	return all
}

// Reader reads the settings of one command. Make it with Register.
type Reader struct {
	into  Settings
	list  []setting
	flags *pflag.FlagSet
}

// Register adds a flag for each setting of into to flags, and returns what
// fills into once the flags have been parsed.
func Register(flags *pflag.FlagSet, into Settings) *Reader {
	r := &Reader{into: into, list: settingsOf(into), flags: flags}
	for _, s := range r.list {
		flags.Var(&rawFlag{setting: s, text: s.shownDefault()}, s.flag, s.usage())
		if s.field.Kind() == reflect.Bool {
			flags.Lookup(s.flag).NoOptDefVal = "true"
		}
	}
	return r
}

// Read fills the settings from flags, environment and defaults. It fails with
// an *Error that holds every problem there is.
func (r *Reader) Read(src Source) (Effective, error) {
	rd := &reading{src: src, environ: map[string]string{}, origins: map[string]Origin{}}
	for _, kv := range src.Environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			rd.environ[name] = value
		}
	}
	rd.refuseUnknown()

	raw := map[string]string{}
	for _, s := range r.list {
		if text, ok := rd.lookup(s, r.flags); ok {
			raw[s.name] = text
		}
	}
	rd.convert(r.into, r.list, raw)
	rd.unreadable()
	r.into.finish(rd)
	if len(rd.problems) > 0 {
		return Effective{}, &Error{Problems: rd.problems}
	}
	eff := Effective{Notices: rd.notices}
	for _, s := range r.list {
		eff.Values = append(eff.Values, Value{
			Name: s.name, Value: fmt.Sprint(s.field.Interface()), Origin: rd.origin(s.name),
		})
	}
	return eff, nil
}

// reading is the state of one Read.
type reading struct {
	src      Source
	environ  map[string]string
	origins  map[string]Origin
	problems []*fault.Error
	notices  []string
	// broken holds the settings without a usable text: what finish finds in
	// their fields is nobody's doing.
	broken map[string]bool
}

func (r *reading) wrong(name, what, fix string) {
	if r.broken[name] {
		return
	}
	r.problems = append(r.problems,
		fault.New(fault.Invalid, r.calls(name)+" "+what+".").WithFix(fix).WithField(name))
}

// calls returns the name under which the operator gave the setting.
func (r *reading) calls(name string) string {
	switch r.origin(name) {
	case OriginFlag:
		return "--" + flagName(name)
	case OriginAlias:
		return strings.TrimPrefix(name, prefix)
	case OriginEnv, OriginDefault:
	}
	return name
}

func (r *reading) notice(text string) { r.notices = append(r.notices, text) }

func (r *reading) forget(name string) { delete(r.origins, name) }

func (r *reading) origin(name string) Origin {
	if o, ok := r.origins[name]; ok {
		return o
	}
	return OriginDefault
}

func (r *reading) unreadable() {
	r.broken = make(map[string]bool, len(r.problems))
	for _, p := range r.problems {
		r.broken[p.Field] = true
	}
}

// lookup returns the text of s from the strongest origin that has one.
func (r *reading) lookup(s setting, flags *pflag.FlagSet) (string, bool) {
	if f := flags.Lookup(s.flag); f.Changed {
		r.origins[s.name] = OriginFlag
		if s.secret {
			return r.secretFile(s, "--"+s.flag, f.Value.String())
		}
		return f.Value.String(), true
	}
	if s.secret {
		return r.lookupSecret(s)
	}
	if text := r.environ[s.name]; text != "" { // empty is as good as not set
		r.origins[s.name] = OriginEnv
		return text, true
	}
	return "", false
}

// lookupSecret reads a secret from the environment or from the file that the
// environment names, but not from both: one of them would be out of date.
func (r *reading) lookupSecret(s setting) (string, bool) {
	text, given := r.environ[s.name]
	file := r.environ[s.name+"_FILE"]
	switch {
	case given && file != "":
		r.origins[s.name] = OriginEnv
		r.wrong(s.name, "and "+s.name+"_FILE are both set", "Unset one of them.")
		return "", false
	case given && strings.TrimSpace(text) == "":
		r.origins[s.name] = OriginEnv
		r.wrong(s.name, "is set, but empty", "Give it a value, or unset it.")
		return "", false
	case given:
		r.origins[s.name] = OriginEnv
		return text, true
	case file != "":
		r.origins[s.name] = OriginEnv
		return r.secretFile(s, s.name+"_FILE", file)
	case s.alias != "" && r.environ[s.alias] != "":
		r.origins[s.name] = OriginAlias
		return r.environ[s.alias], true
	}
	return "", false
}

// secretFile reads the secret from a file, without the line break at its end.
func (r *reading) secretFile(s setting, given, path string) (string, bool) {
	const most = 64 << 10
	fail := func(what, fix string) (string, bool) {
		r.problems = append(r.problems, fault.New(fault.Invalid, given+" "+what+".").WithFix(fix).WithField(s.name))
		return "", false
	}
	f, err := os.Open(path)
	if err != nil {
		cause := err
		if pathError, ok := errors.AsType[*os.PathError](err); ok {
			cause = pathError.Err
		}
		return fail(fmt.Sprintf("names %s, which cannot be read: %v", path, cause), "Name a file that this user may read.")
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case err != nil:
		return fail(fmt.Sprintf("names %s, which cannot be read", path), "Name a file that this user may read.")
	case len(content) > most:
		return fail(fmt.Sprintf("names %s, which is larger than 64 KiB", path), "Name a file that holds nothing but the secret.")
	case strings.TrimSpace(text) == "":
		return fail(fmt.Sprintf("names %s, which is empty", path), "Put the secret into it.")
	}
	return text, true
}

// convert turns texts into values with the types of their fields.
func (r *reading) convert(into Settings, list []setting, raw map[string]string) {
	err := env.ParseWithOptions(into, env.Options{Environment: raw})
	if err == nil {
		return
	}
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		panic(fmt.Sprintf("config: declare settings: %v", err)) // a tag is wrong, which tests find
	}
	for _, err := range all.Errors {
		bad, ok := errors.AsType[env.ParseError](err)
		if !ok {
			panic(fmt.Sprintf("config: declare settings: %v", err))
		}
		for _, s := range list {
			if s.goName == bad.Name {
				what, fix := explain(bad, raw[s.name])
				r.wrong(s.name, what, fix)
			}
		}
	}
}

// explain says what is wrong with text for a setting, and what would be right.
func explain(bad env.ParseError, text string) (what, fix string) {
	if f := fault.As(bad.Err); f != nil { // one of our types
		return f.Text, f.Fix
	}
	what = fmt.Sprintf("is %q", text)
	if bad.Type == reflect.TypeFor[time.Duration]() {
		return what + ", which is not a duration", "Write a number with a unit, such as 30s, 5m or 1h30m."
	}
	if bad.Type.Kind() == reflect.Bool {
		return what + ", which is neither true nor false", "Write true or false."
	}
	return what + ", which is not a whole number", "Write a whole number."
}
