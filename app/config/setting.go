package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

const prefix = "INVENTIV_"

// setting is one declared field.
type setting struct {
	name, alias   string // in the environment
	flag          string // without the dashes
	goName        string
	help          string
	fallback      string // default
	shownFallback string // what help says of a default that is found at start
	secret        bool
	field         reflect.Value
}

// settingsOf returns the settings of a command in the order of declaration.
func settingsOf(command Settings) []setting {
	var list []setting
	collect(reflect.ValueOf(command).Elem(), &list)
	return list
}

func collect(v reflect.Value, list *[]setting) {
	for f, value := range v.Fields() {
		if f.Anonymous {
			collect(value, list)
			continue
		}
		s := setting{
			name: f.Tag.Get("env"), alias: f.Tag.Get("alias"), goName: f.Name, help: f.Tag.Get("help"),
			fallback: f.Tag.Get("envDefault"), shownFallback: f.Tag.Get("shown"),
			secret: f.Tag.Get("secret") == "true", field: value,
		}
		s.flag = flagName(s.name)
		if s.secret {
			s.flag += "-file"
		}
		*list = append(*list, s)
	}
}

// flagName returns listen for INVENTIV_LISTEN.
func flagName(name string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", "-")
}

func (s setting) shownDefault() string {
	if s.secret {
		return ""
	}
	return s.fallback
}

// usage is the help of the flag. pflag appends the default.
func (s setting) usage() string {
	text := s.help
	if s.secret {
		text = "file with " + s.help
	}
	name := s.name
	if s.secret {
		name += "_FILE"
	}
	if s.shownFallback != "" {
		return fmt.Sprintf("%s (%s; default %s)", text, name, s.shownFallback)
	}
	return fmt.Sprintf("%s (%s)", text, name)
}

// rawFlag keeps a flag's text; it is converted later, together with the
// environment, so that both are judged alike.
type rawFlag struct {
	setting setting
	text    string
	given   bool
}

// String implements pflag.Value.
func (f *rawFlag) String() string { return f.text }

// Set implements pflag.Value. A list may be given in several flags.
func (f *rawFlag) Set(text string) error {
	if f.given && f.setting.field.Kind() == reflect.Slice {
		text = f.text + "," + text
	}
	f.text, f.given = text, true
	return nil
}

// Type implements pflag.Value; it is the word in the help.
func (f *rawFlag) Type() string {
	switch t := f.setting.field.Type(); {
	case f.setting.secret:
		return "file"
	case t.Kind() == reflect.Bool:
		return "bool"
	case t.Kind() == reflect.Slice:
		return "list"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[Size]():
		return "size"
	case t.Kind() == reflect.Int:
		return "number"
	}
	return "string"
}

// refuseUnknown reports every INVENTIV_ name that no command knows.
func (r *reading) refuseUnknown() {
	known := knownNames()
	names := make([]string, 0, len(r.environ))
	for name := range r.environ {
		if strings.HasPrefix(name, prefix) && !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fix := "Unset it; inventiv serve --help lists the settings."
		if near := nearest(name, known); near != "" {
			fix = "Did you mean " + near + "?"
		}
		r.problems = append(r.problems,
			fault.New(fault.Invalid, name+" is not a setting.").WithFix(fix).WithField(name))
	}
}

// knownNames returns the names of all commands' settings.
func knownNames() []string {
	var names []string
	for _, c := range commands() {
		for _, s := range settingsOf(c) {
			names = append(names, s.name)
			if s.secret {
				names = append(names, s.name+"_FILE")
			}
		}
	}
	return names
}

// nearest returns the candidate that is fewest edits away from name, or ""
// when none is near enough to have been meant.
func nearest(name string, candidates []string) string {
	best, least := "", max(2, len(strings.TrimPrefix(name, prefix))/3)+1
	for _, c := range candidates {
		if d := edits(name, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// edits returns how many letters must be added, removed, replaced or swapped
// with their neighbour to make b of a.
func edits(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 0
			if a[i-1] != b[j-1] {
				change = 1
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}
