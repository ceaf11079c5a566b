package cli

var aliasColumns = []column{col("NAME", "name"), col("MODEL", "model"), col("BY", "created_by"), moment("CREATED", "created_at")}

// aliases adds the noun below models for names of the organisation's own.
func (n *noun) aliases() {
	a := n.noun("alias", "Names of the organisation's own for models")
	a.list("List aliases", "/aliases", aliasColumns)
	var model string
	add := a.verb("add NAME", "Let requests ask for a model by another name", func(c *call) error {
		var made row
		if err := c.post("/aliases", map[string]string{"name": c.args[0], "model": model}, &made); err != nil {
			return err
		}
		return c.one(aliasColumns, made)
	})
	add.Flags().StringVar(&model, "model", "", "id or name of the model that answers; see inventiv models list")
	needs(a, add, "model")
	a.remove("remove", "NAME", "Stop answering to an alias", "/aliases", "name", "remove the alias")
	n.cmd.AddCommand(a.cmd)
}
