package cli

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (c Config) audit() *cobra.Command {
	n := c.noun("audit", "Who changed what")
	var limit atMost
	cmd := n.verb("list", "List changes, newest first", func(c *call) error {
		return c.pages("/audit", []column{
			moment("AT", "at"), col("WHO", "actor_name"), col("FROM", "ip"), col("ACTION", "action"), {"OBJECT", object}, {"DETAIL", detail},
		}, url.Values{}, limit)
	})
	limit.limit(cmd, 100)
	return n.cmd
}

// object is what people know the object by.
func object(r row) string {
	if r["object_name"] == nil || r["object_name"] == "" {
		return r.text("object")
	}
	return r.text("object_name")
}

// detail writes what else there is to say as name=value.
func detail(r row) string {
	all := row{}
	maps.Copy(all, r.sub("detail"))
	if id := r.text("object"); id != object(r) {
		delete(all, "name")
		all["id"] = id
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		words = append(words, printable(fmt.Sprintf("%s=%v", name, all[name])))
	}
	return strings.Join(words, " ")
}
