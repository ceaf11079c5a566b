package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// route is a row of the table.
type route struct {
	method, path string // the path as echo's router writes it, below Base
	alias        string // a second path, of which the document does not speak
	need         auth.Permission
	public       bool
	status       int
	summary      string
	group        string // the heading in the document
	in, out      any    // zero values of the request and answer types
	handler      echo.HandlerFunc
}

// op makes a row that runs f. A request's fields are read from the path (tag
// path), the query (tag query) and, except for GET and DELETE, the JSON body
// (tag json).
func op[In, Out any](
	a *API, method, path string, need auth.Permission, status int, summary string,
	f func(ctx, auth.Actor, In) (Out, error),
) route {
	r := route{method: method, path: path, need: need, status: status, summary: summary, in: *new(In), out: *new(Out)}
	r.handler = func(c *echo.Context) error {
		var in In
		if err := read(c, &in); err != nil {
			return err
		}
		actor, _ := auth.From(c.Request().Context()) // the policy has looked
		run := func() (any, error) { return f(c.Request().Context(), actor, in) }
		if method == http.MethodPost {
			return a.once(c, actor, in, status, run)
		}
		out, err := run()
		if err != nil {
			return err
		}
		body, err := encode(out, status)
		if err != nil {
			return err
		}
		return send(c, status, body)
	}
	return r
}

// Exact paths and query are told apart from bodies by their tags.
func read(c *echo.Context, in any) error {
	v := reflect.ValueOf(in).Elem()
	if err := readParameters(c, v); err != nil {
		return err
	}
	method := c.Request().Method
	if method == http.MethodGet || method == http.MethodDelete {
		return nil
	}
	if !hasBody(v.Type()) {
		return refuseBody(c)
	}
	return web.ReadJSON(c, in)
}

// hasBody reports whether a request type has fields of a JSON body.
func hasBody(t reflect.Type) bool {
	for field := range t.Fields() {
		if name := field.Tag.Get("json"); name != "" && name != "-" || field.Anonymous && hasBody(field.Type) {
			return true
		}
	}
	return false
}

// refuseBody takes no body, or an empty object, where there is nothing to say.
func refuseBody(c *echo.Context) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	return web.ReadJSON(c, &None{})
}

// encode writes an answer's body; one without content has none.
func encode(out any, status int) ([]byte, error) {
	if status == http.StatusNoContent {
		return nil, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	return b.Bytes(), nil
}

func send(c *echo.Context, status int, body []byte) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	if len(body) == 0 {
		return c.NoContent(status)
	}
	return c.JSONBlob(status, body)
}

// badParameter is a parameter that cannot be accepted, and what can be.
func badParameter(name, why string) error {
	return fault.Newf(fault.Invalid, "The parameter %s cannot be accepted: %s.", name, why).
		WithKind(web.KindInvalidParameter).WithField(name)
}
