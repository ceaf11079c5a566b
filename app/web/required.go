package web

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// refuseMissing refuses a body without a field that the type it is read into
// has the tag required:"true" for. The zero value that would stand for it is
// never what was meant: a price of 0 gives the model away.
func refuseMissing(body []byte, v any) error {
	field := missing(body, reflect.TypeOf(v).Elem())
	if field == "" {
		return nil
	}
	return fault.Newf(fault.Invalid, "The field %s is missing.", strings.ReplaceAll(field, "/", ".")).
		WithKind(KindMissingField).WithField("/" + field).WithFix("Add it.")
}

// missing returns the path of the first required field of t that an object lacks.
func missing(object []byte, t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var given map[string]json.RawMessage
	if t.Kind() != reflect.Struct || json.Unmarshal(object, &given) != nil {
		return ""
	}
	for field := range t.Fields() {
		if field.Anonymous {
			if lacks := missing(object, field.Type); lacks != "" {
				return lacks
			}
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, there := given[name]
		if name == "" || name == "-" {
			continue
		}
		if there = there && string(value) != "null"; !there {
			if field.Tag.Get("required") == "true" {
				return name
			}
			continue
		}
		if lacks := missing(value, field.Type); lacks != "" {
			return name + "/" + lacks
		}
	}
	return ""
}
