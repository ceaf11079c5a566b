package api

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"
)

// maxParameter is how long a parameter may be, in bytes.
const maxParameter = 500

// readParameters fills the fields of v that are tagged path or query. The tags
// that the document is written from decide what is accepted: enum, minimum,
// maximum, pattern and default. A parameter that v does not have, or that comes
// twice, is refused.
func readParameters(c *echo.Context, v reflect.Value) error {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return badParameter("query", "it is not properly encoded")
	}
	known := map[string]bool{}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if name := field.Tag.Get("path"); name != "" {
			if err := setParameter(v.Field(i), field, name, c.Param(name)); err != nil {
				return err
			}
		}
		name := field.Tag.Get("query")
		if name == "" {
			continue
		}
		known[name] = true
		values := query[name]
		if len(values) > 1 {
			return badParameter(name, "it is given more than once")
		}
		text := field.Tag.Get("default")
		if len(values) == 1 {
			text = values[0]
		} else if text == "" {
			continue
		}
		if err := setParameter(v.Field(i), field, name, text); err != nil {
			return err
		}
	}
	for name := range query {
		if !known[name] {
			names := make([]string, 0, len(known))
			for k := range known {
				names = append(names, k)
			}
			slices.Sort(names)
			return badParameter(clip(name), "there is no such parameter here; known are: "+strings.Join(append(names, "none else"), ", "))
		}
	}
	return nil
}

// setParameter reads text into the field, within what its tags allow.
func setParameter(into reflect.Value, field reflect.StructField, name, text string) error {
	switch {
	case len(text) > maxParameter:
		return badParameter(name, fmt.Sprintf("it is longer than %d bytes", maxParameter))
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return badParameter(name, "it is not text")
	}
	if allowed := field.Tag.Get("enum"); allowed != "" && !slices.Contains(strings.Split(allowed, ","), text) {
		return badParameter(name, "allowed are "+strings.ReplaceAll(allowed, ",", ", "))
	}
	if pattern := field.Tag.Get("pattern"); pattern != "" && !regexp.MustCompile(pattern).MatchString(text) {
		return badParameter(name, field.Tag.Get("description"))
	}
	switch p := into.Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		switch text {
		case "true":
			*p = true
		case "false":
		default:
			return badParameter(name, "allowed are true and false")
		}
	case *int:
		low, high := field.Tag.Get("minimum"), field.Tag.Get("maximum")
		n, err := strconv.Atoi(text)
		if err != nil || low != "" && n < number(low) || high != "" && n > number(high) {
			return badParameter(name, fmt.Sprintf("allowed are %s to %s", low, high))
		}
		*p = n
	case *time.Time:
		at, err := parseTime(text)
		if err != nil {
			return badParameter(name, err.Error())
		}
		*p = at
	case *uuid.UUID:
		id, err := uuid.Parse(text)
		if err != nil || len(text) != len(uuid.Nil.String()) {
			return badParameter(name, "it is not an id, such as 018f6b1c-2d3e-7f00-8a9b-0c1d2e3f4a5b")
		}
		*p = id
	default:
		return fmt.Errorf("parameter %s has the type %s, which cannot be read", name, into.Type())
	}
	return nil
}

// number reads a tag of ours.
func number(tag string) int {
	n, err := strconv.Atoi(tag)
	if err != nil {
		panic("tag is not a number: " + tag)
	}
	return n
}

// parseTime reads a moment, or a day as its midnight in UTC.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil && at.Year() >= 1970 {
			return at.UTC(), nil
		}
	}
	return time.Time{}, errors.New("a moment is written as 2026-01-31T12:00:00Z, or 2026-01-31 for its midnight in UTC")
}

// clip keeps what somebody sent readable in a sentence.
func clip(s string) string {
	const most = 60
	s = strings.ToValidUTF8(s, "?")
	if utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most]) + "…"
	}
	return s
}
