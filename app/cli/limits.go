package cli

import (
	"net/http"

	"github.com/spf13/cobra"
)

var limitColumns = []column{
	col("LEVEL", "level"), col("ID", "id"), col("REQUESTS/MIN", "requests_per_minute"), col("TOKENS/MIN", "tokens_per_minute"),
	col("AT ONCE", "concurrency"), col("MAX TOKENS", "max_tokens"), col("MODELS", "models"), col("BUDGET EUR", "budget"), col("PERIOD", "period"),
	eur("SPENT", "spent"), moment("RESETS", "resets_at"),
}

func (c Config) limits() *cobra.Command {
	n := c.noun("limits", "What keys, members and the organisation may use")
	n.list("List what is limited", "/limits", limitColumns)
	n.limit("member ID", "Show or change the limits of a member", func(args []string) string { return "/members" + path(args[0]) })
	n.limit("organisation", "Show or change the limits of the organisation", func([]string) string { return "/organisation" })
	return n.cmd
}

// limit adds a verb that shows the limits of a subject, and changes those that
// flags name.
func (n *noun) limit(use, short string, subject func(args []string) string) *cobra.Command {
	var cmd *cobra.Command
	numbers := map[string]string{
		"rpm": "requests_per_minute", "tpm": "tokens_per_minute", "concurrency": "concurrency", "max-tokens": "max_tokens",
	}
	cmd = n.verb(use, short, func(c *call) error {
		base := subject(c.args)
		var l row
		if err := c.get(base+"/limits", nil, &l); err != nil {
			return err
		}
		in, changed := row{}, false
		for _, field := range []string{"requests_per_minute", "tokens_per_minute", "concurrency", "max_tokens", "models", "budget", "period"} {
			if l[field] != nil {
				in[field] = l[field]
			}
		}
		flags := cmd.Flags()
		for flag, field := range numbers {
			if flags.Changed(flag) {
				changed = true
				in[field], _ = flags.GetInt64(flag)
			}
		}
		if flags.Changed("model") {
			changed = true
			if in["models"], _ = flags.GetStringArray("model"); flags.Lookup("model").Value.String() == "[all]" {
				in["models"] = []string{}
			}
		}
		for _, flag := range []string{"budget", "period"} {
			if flags.Changed(flag) {
				changed = true
				in[flag], _ = flags.GetString(flag)
			}
		}
		if in["budget"] == "none" {
			delete(in, "budget")
			delete(in, "period")
		}
		if in["period"] != nil && in["budget"] == nil {
			return mistake("There is no budget for --period to be of.", "Add --budget, such as --budget 25.00.")
		}
		if changed {
			l = row{} // what the answer leaves out is no limit any more
			if err := c.do(c, http.MethodPut, base+"/limits", nil, in, &l); err != nil {
				return err
			}
		}
		return c.one(limitColumns, l)
	})
	f := cmd.Flags()
	f.Int64("rpm", 0, "requests a minute; 0 for no limit")
	f.Int64("tpm", 0, "tokens a minute, of prompts and answers; 0 for no limit")
	f.Int64("concurrency", 0, "requests at once; 0 for no limit")
	f.Int64("max-tokens", 0, "tokens that one request may have generated; 0 for no limit")
	f.StringArray("model", nil, "the only model that may be called; given again, one more; all for every model")
	f.String("budget", "", "EUR for each period, such as 25.00; none for no budget")
	f.String("period", "", "of the budget: day or month, in UTC; month when it is left out")
	return cmd
}

// networks adds the verb that says where a key may be used from.
func (n *noun) networks() {
	var list []string
	cmd := n.verb("networks ID", "Say where an API key may be used from; from everywhere without --network", func(c *call) error {
		if list == nil {
			list = []string{}
		}
		if err := c.do(c, http.MethodPut, "/keys"+path(c.args[0], "networks"), nil, row{"networks": list}, nil); err != nil {
			return err
		}
		return c.say("%s: done.", printable(c.args[0]))
	})
	cmd.Flags().StringArrayVar(&list, "network", nil, "network such as 10.0.0.0/8, or address; may be given again")
	n.names(cmd, "/keys", "id")
}
