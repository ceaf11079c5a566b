package cli

import "net/http"

var strayColumns = []column{
	col("INSTANCE", "instance_id"), col("PROVIDER", "provider"), col("ZONE", "zone"), col("KIND", "kind"), col("ID", "provider_id"),
	col("DESCRIPTION", "description"), moment("CREATED", "created_at"),
}

// strays adds the verbs about machines that the database does not know.
func (n *noun) strays() {
	n.verb("strays", "List machines under our tag that no instance is known of, as after a restore", func(c *call) error {
		return c.show("/strays", nil, strayColumns)
	})
	n.names(dangerous(n.verb("delete-stray INSTANCE", "Delete the machine of an unknown instance, and list what is left of it", func(c *call) error {
		if err := c.confirm("delete everything of the unknown instance " + printable(c.args[0])); err != nil {
			return err
		}
		var left row
		if err := c.do(c, http.MethodDelete, "/strays"+path(c.args[0]), nil, nil, &left); err != nil {
			return err
		}
		return c.list(strayColumns, left.rows("items"))
	})), "/strays", "instance_id")
}
