package cli

import (
	"cmp"
	"net/http"
	"strings"
)

// routes adds the verbs on where requests go.
func (n *noun) routes() {
	n.verb("routes", "Where each model's requests go, and what is set aside", func(c *call) error {
		var answer row
		if err := c.get("/routes", nil, &answer); err != nil {
			return err
		}
		routes := answer.rows("items")
		if c.asJSON {
			return c.list(nil, routes)
		}
		var lines []row
		for _, r := range routes {
			replicas := r.rows("replicas")
			if len(replicas) == 0 {
				replicas = []row{{}}
			}
			for _, replica := range replicas {
				replica["route"] = map[string]any(r)
				lines = append(lines, replica)
			}
		}
		return c.table([]column{
			{"MODEL", func(l row) string { return l.sub("route").text("model") }},
			{"STATE", func(l row) string { return l.sub("route").text("state") }},
			col("REPLICA", "name"), col("KIND", "kind"), col("IN FLIGHT", "in_flight"), {"SET ASIDE", func(l row) string {
				return cmp.Or(strings.TrimPrefix(l.text("why"), "set aside by the gateway: "), "-")
			}}, moment("SINCE", "since"),
			{"FALLBACK", func(l row) string { return cmp.Or(l.sub("route").text("fallback"), "-") }},
		}, lines)
	})
	var to []string
	fallback := n.verb("fallback MODEL", "Name the models that answer while no replica of this one is ready", func(c *call) error {
		var r row
		if err := c.do(c, http.MethodPut, "/models"+path(c.args[0], "fallback"), nil, map[string][]string{"models": append([]string{}, to...)}, &r); err != nil {
			return err
		}
		if c.asJSON {
			return c.one(nil, r)
		}
		if len(to) == 0 {
			return c.say("%s: no fallback.", printable(c.args[0]))
		}
		return c.say("%s: then %s.", printable(c.args[0]), printable(strings.Join(to, ", ")))
	})
	fallback.Flags().StringArrayVar(&to, "to", nil, "a model that answers instead; given again, the next one; left out, there is none any more")
	n.names(fallback, "/models", "name")
}
