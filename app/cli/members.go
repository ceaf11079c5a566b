package cli

import "github.com/spf13/cobra"

func (c Config) members() *cobra.Command {
	n := c.noun("members", "Who belongs to the organisation")
	n.list("List members", "/members", []column{
		col("ID", "id"), col("EMAIL", "email"), col("NAME", "name"), col("ROLE", "role"), moment("JOINED", "joined_at"), moment("LAST SEEN", "last_seen_at"),
	})
	return n.cmd
}
