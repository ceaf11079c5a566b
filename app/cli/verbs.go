package cli

import (
	"net/http"
	"net/url"
)

func (c *call) get(path string, query url.Values, out any) error {
	return c.do(c, http.MethodGet, path, query, nil, out)
}

func (c *call) post(path string, in, out any) error {
	return c.do(c, http.MethodPost, path, nil, in, out)
}

// show writes the list at a path.
func (c *call) show(path string, query url.Values, columns []column) error {
	var answer row
	if err := c.get(path, query, &answer); err != nil {
		return err
	}
	return c.list(columns, answer.rows("items"))
}

// list adds the verb that lists everything.
func (n *noun) list(short, path string, columns []column) {
	n.verb("list", short, func(c *call) error { return c.show(path, nil, columns) })
}

// act adds a verb that posts to a thing below base and shows what has become of it.
func (n *noun) act(name, short, base string, columns []column) {
	n.names(n.verb(name+" NAME", short, func(c *call) error {
		var answer row
		if err := c.post(base+path(c.args[0], name), nil, &answer); err != nil {
			return err
		}
		return c.one(columns, answer)
	}), base, "name")
}

// remove adds a verb that ends a thing after asking.
func (n *noun) remove(name, arg, short, base, field, what string) {
	n.names(dangerous(n.verb(name+" "+arg, short, func(c *call) error {
		if err := c.confirm(what + " " + printable(c.args[0])); err != nil {
			return err
		}
		if err := c.do(c, http.MethodDelete, base+path(c.args[0]), nil, nil, nil); err != nil {
			return err
		}
		return c.say("%s: done.", printable(c.args[0]))
	})), base, field)
}

// optional puts a flag's value into a query when there is one.
func optional(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}
