package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (c Config) keys() *cobra.Command {
	columns := []column{
		col("ID", "id"), col("NAME", "name"), col("PREFIX", "prefix"), col("SCOPES", "scopes"), col("STATE", "state"), col("OWNER", "owner"), col("NETWORKS", "networks"),
		moment("LAST USED", "last_used_at"), moment("EXPIRES", "expires_at"),
	}
	n := c.noun("keys", "API keys")
	n.list("List API keys", "/keys", columns)
	var scopes, networks []string
	var life time.Duration
	create := n.verb("create NAME", "Make an API key and print it, once", func(c *call) error {
		in := row{"name": c.args[0], "scopes": scopes}
		if networks != nil {
			in["networks"] = networks
		}
		if life > 0 {
			in["expires_at"] = time.Now().Add(life).UTC().Format(time.RFC3339)
		}
		var k row
		if err := c.post("/keys", in, &k); err != nil {
			return err
		}
		if c.asJSON {
			return c.json(k)
		}
		fmt.Fprintf(c.config.Stderr, "Keep this key now: it is not shown again. Its id is %s.\n", k.text("id"))
		_, err := fmt.Fprintln(c.w, k.text("key"))
		return err
	})
	create.Flags().StringArrayVar(&scopes, "scope", []string{"inference"}, "what it is for: inference, admin; may be given again")
	create.Flags().StringArrayVar(&networks, "network", nil, "network or address it may be used from; may be given again; from everywhere when it is left out")
	create.Flags().DurationVar(&life, "expires-in", 0, "how long it works, such as 720h; for ever when it is left out")
	n.names(n.limit("limit ID", "Show or change what an API key may use", func(args []string) string { return "/keys" + path(args[0]) }), "/keys", "id")
	n.networks()
	n.remove("revoke", "ID", "Make an API key stop working, within three seconds", "/keys", "id", "revoke the key")
	return n.cmd
}

// period are the flags that say which time is meant.
type period struct{ from, to string }

func (p *period) on(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.from, "from", "", "begin, as 2026-01-31 or 2026-01-31T12:00:00Z; the first of the month when it is left out")
	cmd.Flags().StringVar(&p.to, "to", "", "end, written likewise; now when it is left out")
}

func (p *period) query() url.Values {
	query := url.Values{}
	optional(query, "from", p.from)
	optional(query, "to", p.to)
	return query
}

func (c Config) usage() *cobra.Command {
	n := c.noun("usage", "Metered requests and their tokens")
	var when period
	summary := n.verb("summary", "Requests, tokens and their cost in a period", func(c *call) error {
		var u row
		if err := c.get("/usage/summary", when.query(), &u); err != nil {
			return err
		}
		u = row{"requests": u["requests"], "prompt_tokens": u["prompt_tokens"], "completion_tokens": u["completion_tokens"], "cost": u["cost"]}
		return c.one([]column{
			col("REQUESTS", "requests"), col("PROMPT TOKENS", "prompt_tokens"), col("COMPLETION TOKENS", "completion_tokens"), eur("COST EUR", "cost"),
		}, u)
	})
	when.on(summary)
	n.records()
	n.spool()
	return n.cmd
}

// page is how many records are asked for at once.
const page = 1000

func (n *noun) records() {
	var when period
	var limit atMost
	filters := map[string]*string{}
	cmd := n.verb("records", "List metered requests, newest first", func(c *call) error {
		query := when.query()
		for name, value := range filters {
			optional(query, name, *value)
		}
		return c.pages("/usage/records", recordColumns, query, limit)
	})
	f := cmd.Flags()
	when.on(cmd)
	for _, v := range []struct{ flag, parameter, usage string }{
		{"model", "model", "that this model answered, or that asked for this name"},
		{"key", "key", "of the API key with this id"},
		{"member", "member", "of the member with this id"},
		{"status", "status", "completed or interrupted"},
		{"error", "error", "that ended with this code, such as client_gone"},
		{"path", "path", "on this path, such as /v1/chat/completions"},
		{"upstream", "upstream", "that the instance or endpoint with this id answered"},
		{"min-duration-ms", "min_duration_ms", "that took at least so many milliseconds"},
		{"min-first-token-ms", "min_first_token_ms", "whose first token took at least so many milliseconds"},
		{"retried", "retried", "true: that a first server did not take; false: the others"},
		{"request-id", "request_id", "the one with this x-request-id, whenever it was; goes with no other filter"},
	} {
		filters[v.parameter] = f.String(v.flag, "", v.usage)
	}
	limit.limit(cmd, 0)
}

var recordColumns = []column{
	moment("STARTED", "started_at"), col("MODEL", "model"), col("STATUS", "status"), col("ERROR", "error"), col("HTTP", "http_status"), col("PROMPT", "prompt_tokens"),
	col("COMPLETION", "completion_tokens"), eur("COST EUR", "cost"), inMillis("FIRST MS", "first_token_ms"), inMillis("MS", "duration_ms"), col("RETRIED", "retried"), col("REQUEST", "request_id"),
}

// pages writes page after page of a list, so that a long one needs no memory and
// is cut short when its reader has seen enough.
func (c *call) pages(path string, columns []column, query url.Values, most atMost) error {
	out := printer{w: c.w, asJSON: c.asJSON}
	limit, shown := int(most), 0
	if c.asJSON {
		if _, err := io.WriteString(c.w, "["); err != nil {
			return err
		}
	}
	for {
		size := page
		if limit > 0 {
			size = min(size, limit-shown)
		}
		query.Set("limit", strconv.Itoa(size))
		var answer row
		if err := c.get(path, query, &answer); err != nil {
			return err
		}
		records := answer.rows("items")
		if err := out.some(columns, records, shown); err != nil {
			return err
		}
		shown += len(records)
		next := answer.text("next_cursor")
		if next == "-" || limit > 0 && shown >= limit {
			break
		}
		query.Set("cursor", next)
	}
	if c.asJSON {
		_, err := io.WriteString(c.w, "\n]\n")
		return err
	}
	return nil
}

// some writes a part of a long list, of which shown are written already.
func (p printer) some(columns []column, rows []row, shown int) error {
	if !p.asJSON {
		if shown > 0 && len(rows) == 0 {
			return nil
		}
		return p.table(columns, rows)
	}
	for i, r := range rows {
		separator := ",\n"
		if shown+i == 0 {
			separator = "\n"
		}
		if _, err := io.WriteString(p.w, separator); err != nil {
			return err
		}
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := p.w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func inMillis(title, name string) column {
	return column{title, func(r row) string {
		whole, _, _ := strings.Cut(r.text(name), ".")
		return whole
	}}
}

func (c Config) costs() *cobra.Command {
	n := c.noun("costs", "What the machines cost")
	n.verb("current", "Burn rate, month to date and forecast", func(c *call) error {
		var now row
		if err := c.get("/costs/current", nil, &now); err != nil {
			return err
		}
		return c.one([]column{
			col("EUR PER HOUR", "burn_rate"), eur("EUR THIS MONTH", "month_to_date"), eur("EUR FORECAST", "forecast"), moment("AT", "at"),
		}, now)
	})
	for _, v := range []struct {
		name, short string
		columns     []column
	}{
		{"charges", "Priced intervals of servers, volumes and addresses", []column{
			col("INSTANCE", "instance"), col("KIND", "kind"), col("WHAT", "description"), col("EUR/H", "price_per_hour"),
			moment("FROM", "started_at"), moment("TO", "ended_at"), eur("EUR", "amount"), col("MODEL", "model"),
		}},
		{"days", "What each day cost, in UTC", []column{col("DAY", "date"), eur("EUR", "amount")}},
	} {
		var when period
		when.on(n.verb(v.name, v.short, func(c *call) error { return c.show("/costs/"+v.name, when.query(), v.columns) }))
	}
	return n.cmd
}

// readSecret reads a secret from a file, without the line break at its end.
func readSecret(name string) (string, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		why := err
		if bad, ok := errors.AsType[*os.PathError](err); ok {
			why = bad.Err
		}
		return "", mistake("The file "+name+" cannot be read: "+why.Error()+".", "Name a file that holds the key and nothing else.")
	}
	secret := strings.TrimRight(string(raw), "\r\n")
	if secret == "" {
		return "", mistake("The file "+name+" is empty.", "Name a file that holds the key and nothing else.")
	}
	return secret, nil
}
