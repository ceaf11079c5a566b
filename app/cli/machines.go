package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

var deploymentColumns = []column{
	col("NAME", "name"), col("MODEL", "model"),
	col("READY", "ready"),
	{"WANTED", func(r row) string {
		low, high := r.sub("replicas").text("min"), r.sub("replicas").text("max")
		if low == high {
			return low
		}
		return low + "-" + high
	}},
	col("STOPPED", "stopped"), col("OFFERS", "offers"), col("MESSAGE", "message"),
}

func (c Config) deployments() *cobra.Command {
	n := c.noun("deployments", "Models that the organisation wants served")
	n.list("List deployments", "/deployments", deploymentColumns)
	n.names(n.verb("get NAME", "Show a deployment", func(c *call) error {
		var d row
		if err := c.get("/deployments"+path(c.args[0]), nil, &d); err != nil {
			return err
		}
		return c.one(append(deploymentColumns, column{"IDLE MINUTES", func(r row) string { return r.sub("replicas").text("idle_minutes") }}, col("ID", "id"), moment("CREATED", "created_at")), d)
	}), "/deployments", "name")
	n.create()

	var low, high, idle int
	scale := n.verb("scale NAME", "Set the number of replicas", func(c *call) error {
		var d row
		if err := c.post("/deployments"+path(c.args[0], "scale"), replicas(low, high, idle), &d); err != nil {
			return err
		}
		return c.one(deploymentColumns, d)
	})
	scale.Flags().IntVar(&low, "min", 0, "fewest replicas")
	scale.Flags().IntVar(&high, "max", 0, "most replicas; the same as --min when it is left out")
	scale.Flags().IntVar(&idle, "idle-minutes", -1, idleHelp+"; as it is when it is left out")
	needs(n, scale, "min") // a default would wake what sleeps, or end replicas, when another flag is meant
	n.names(scale, "/deployments", "name")
	n.act("stop", "End all replicas and keep the deployment", "/deployments", deploymentColumns)
	n.act("start", "Let a stopped deployment have its replicas again, or wake one that sleeps", "/deployments", deploymentColumns)
	n.remove("delete", "NAME", "End all replicas and forget the deployment", "/deployments", "name", "delete the deployment")
	return n.cmd
}

const idleHelp = "with --min 0: minutes without a request after which it sleeps; 0: never"

// replicas is how many a deployment keeps; an idle time below 0 is left out. A
// maximum below the minimum is the server's to refuse: raised to it, more
// machines would run than were asked for at most.
func replicas(low, high, idle int) map[string]int {
	in := map[string]int{"min": low, "max": cmp.Or(high, low)}
	if idle >= 0 {
		in["idle_minutes"] = idle
	}
	return in
}

func (n *noun) create() {
	var model string
	var offers []string
	var low, high, idle, volume int
	var wait bool
	var patience time.Duration
	cmd := n.verb("create NAME", "Deploy a model", func(c *call) error {
		in := row{
			"name": c.args[0], "model": model, "offers": offers, "volume_gb": volume, "replicas": replicas(low, high, idle),
		}
		var d row
		if err := c.post("/deployments", in, &d); err != nil {
			return err
		}
		if !wait {
			return c.one(deploymentColumns, d)
		}
		d, err := c.watch(d.text("name"), patience)
		if err != nil {
			return err
		}
		return c.one(deploymentColumns, d)
	})
	f := cmd.Flags()
	f.StringVar(&model, "model", "", "id or name of the model; see inventiv models list")
	f.StringArrayVar(&offers, "offer", nil, "provider/zone/type; given again, the next choice; see inventiv models offers MODEL")
	f.IntVar(&low, "min", 1, "fewest replicas")
	f.IntVar(&high, "max", 0, "most replicas; the same as --min when it is left out")
	f.IntVar(&idle, "idle-minutes", -1, idleHelp+"; 15 when it is left out")
	f.IntVar(&volume, "volume-gb", 0, "size of each volume; as recommended when it is left out")
	f.BoolVar(&wait, "wait", false, "show the steps and return when it serves")
	f.DurationVar(&patience, "wait-timeout", 30*time.Minute, "how long to wait")
	needs(n, cmd, "model", "offer")
}

// needs makes flags obligatory.
func needs(n *noun, cmd *cobra.Command, names ...string) {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range names {
			if f := cmd.Flags().Lookup(name); !f.Changed {
				return n.fail(mistake("--"+name+" is missing.", "It is the "+f.Usage+"."))
			}
		}
		return run(cmd, args)
	}
}

var instanceColumns = []column{
	col("NAME", "name"), col("DEPLOYMENT", "deployment"), col("STATE", "state"),
	{"PROGRESS", func(r row) string { return r.text("progress") + "%" }},
	{"NODE", node}, col("OFFER", "offer"), col("EUR/H", "price_per_hour"), eur("COST EUR", "cost"),
	col("MODEL", "model"), col("MESSAGE", "message"),
}

// node is how the instance's node is heard. One that has not joined yet, or is
// gone, is not lost.
func node(r row) string {
	state, heard := r.text("state"), r.text("connectivity")
	if heard == "lost" && state != "ready" && state != "draining" {
		return "-"
	}
	return heard
}

func (c Config) instances() *cobra.Command {
	n := c.noun("instances", "Machines that serve a model")
	var deployment, state string
	var archived bool
	list := n.verb("list", "List instances, newest first", func(c *call) error {
		query := url.Values{}
		optional(query, "deployment", deployment)
		optional(query, "state", state)
		if archived {
			query.Set("archived", "true")
		}
		return c.show("/instances", query, instanceColumns)
	})
	list.Flags().StringVar(&deployment, "deployment", "", "of this deployment only")
	list.Flags().StringVar(&state, "state", "", "in this state only")
	list.Flags().BoolVar(&archived, "archived", false, "archived ones, too")

	n.names(n.verb("get NAME", "Show an instance with its steps", func(c *call) error {
		var i row
		if err := c.get("/instances"+path(c.args[0]), nil, &i); err != nil {
			return err
		}
		if err := c.one(append(instanceColumns, col("ID", "id"), col("ADDRESS", "address"), moment("CREATED", "created_at")), i); err != nil || c.asJSON {
			return err
		}
		fmt.Fprintln(c.w)
		return c.table([]column{
			col("STEP", "step"), col("TITLE", "title"), moment("STARTED", "started_at"), {"TOOK", took}, col("FAILED", "failed"), col("DETAIL", "detail"),
		}, i.rows("steps"))
	}), "/instances", "name")
	n.end("terminate", "End an instance")
	n.end("replace", "Have a new instance take an instance's place")
	n.end("reinstall", "Install an instance's server anew")
	for _, v := range [][2]string{
		{"retry", "Give a failed instance another attempt"},
		{"archive", "Take a terminated instance out of the lists"},
		{"cordon", "Keep new requests away from an instance"},
		{"uncordon", "Let requests reach an instance again"},
	} {
		n.act(v[0], v[1], "/instances", instanceColumns)
	}
	n.logs()
	n.names(n.verb("metrics NAME", "Requests and tokens of an instance", func(c *call) error {
		var m row
		if err := c.get("/instances"+path(c.args[0], "metrics"), nil, &m); err != nil {
			return err
		}
		return c.one([]column{
			col("REQUESTS", "requests"), col("PROMPT TOKENS", "prompt_tokens"), col("COMPLETION TOKENS", "completion_tokens"), eur("COST EUR", "cost"),
		}, m)
	}), "/instances", "name")
	n.strays()
	return n.cmd
}

// end adds a verb that interrupts an instance.
func (n *noun) end(name, short string) {
	n.names(dangerous(n.verb(name+" NAME", short, func(c *call) error {
		if err := c.confirm(name + " the instance " + printable(c.args[0])); err != nil {
			return err
		}
		var i row
		if err := c.post("/instances"+path(c.args[0], name), nil, &i); err != nil {
			return err
		}
		return c.one(instanceColumns, i)
	})), "/instances", "name")
}

func (n *noun) logs() {
	var source string
	var tail int
	cmd := n.verb("logs NAME", "The end of a log on an instance's node", func(c *call) error {
		var log row
		query := url.Values{"source": {source}, "tail": {strconv.Itoa(tail)}}
		if err := c.get("/instances"+path(c.args[0], "logs"), query, &log); err != nil {
			return err
		}
		if c.asJSON {
			return c.json(log)
		}
		lines, _ := log["lines"].([]any)
		if len(lines) == 0 {
			fmt.Fprintf(c.config.Stderr, "The log of the %s is empty.\n", source)
		}
		for _, line := range lines {
			if _, err := fmt.Fprintln(c.w, printable(strings.ReplaceAll(fmt.Sprint(line), "\t", "    "))); err != nil {
				return err
			}
		}
		return nil
	})
	cmd.Flags().StringVar(&source, "source", "engine", "which log: engine or agent")
	cmd.Flags().IntVar(&tail, "tail", 200, "lines")
	n.names(cmd, "/instances", "name")
}

// took is how long a step took, or has taken so far.
func took(r row) string {
	began, err := time.Parse(time.RFC3339, r.text("started_at"))
	ended, err2 := time.Parse(time.RFC3339, r.text("ended_at"))
	if err != nil || err2 != nil {
		return "-"
	}
	return ended.Sub(began).Round(time.Millisecond).String()
}

func (c Config) nodes() *cobra.Command {
	n := c.noun("nodes", "Nodes as their agents report them")
	n.list("List nodes", "/nodes", []column{
		col("INSTANCE", "instance"), col("STATE", "state"), col("NODE", "connectivity"), col("AGENT", "agent_version"),
		moment("HEARTBEAT", "heartbeat_at"), {"ENGINE", func(r row) string { return r.sub("heartbeat").sub("engine").text("state") }}, col("MODEL", "model"),
	})
	return n.cmd
}

var endpointColumns = []column{
	col("NAME", "name"), col("MODEL", "model"), col("URL", "url"), col("STATE", "state"), col("KEY", "keyed"),
	{"MESSAGE", func(r row) string {
		if why := r.sub("routing").text("why"); r["message"] == "" && why != "-" {
			return why
		}
		return r.text("message")
	}},
}

func (c Config) endpoints() *cobra.Command {
	n := c.noun("endpoints", "OpenAI-compatible servers that run elsewhere")
	n.list("List endpoints", "/endpoints", endpointColumns)
	var model, address, keyFile string
	add := n.verb("add NAME", "Send a model's requests to a server that runs already", func(c *call) error {
		in := map[string]string{"name": c.args[0], "model": model, "url": address}
		if keyFile != "" {
			key, err := readSecret(keyFile)
			if err != nil {
				return err
			}
			in["key"] = key
		}
		var e row
		if err := c.post("/endpoints", in, &e); err != nil {
			return err
		}
		return c.one(endpointColumns, e)
	})
	add.Flags().StringVar(&model, "model", "", "name of the model, as clients send it")
	add.Flags().StringVar(&address, "url", "", "base URL of the server, which ends in /v1 (the control plane's own address is INVENTIV_URL)")
	add.Flags().StringVar(&keyFile, "key-file", "", "file with the key that the server wants")
	needs(n, add, "model", "url")
	n.remove("remove", "NAME", "Stop sending requests to an endpoint", "/endpoints", "name", "remove the endpoint")
	return n.cmd
}

func (c Config) models() *cobra.Command {
	columns := []column{
		col("NAME", "name"), col("KIND", "kind"), col("VRAM GB", "required_vram_gb"), col("CONTEXT", "context_length"),
		{"IN EUR/M", func(r row) string { return r.sub("price").text("input") }},
		{"OUT EUR/M", func(r row) string { return r.sub("price").text("output") }},
		col("OWN", "own"), col("SIMULATED", "simulated"),
	}
	n := c.noun("models", "Models, their prices, and where they can run")
	n.list("List models", "/models", columns)
	n.names(n.verb("get MODEL", "Show a model", func(c *call) error {
		var m row
		if err := c.get("/models"+path(c.args[0]), nil, &m); err != nil {
			return err
		}
		return c.one(append(columns, col("TITLE", "title"), col("VOLUME GB", "volume_gb"), col("ID", "id")), m)
	}), "/models", "name")
	n.names(n.verb("offers MODEL", "Machines on which a model can run, cheapest first", func(c *call) error {
		return c.show("/offers", url.Values{"model": {c.args[0]}}, []column{
			col("OFFER", "offer"), col("EUR/H", "price_per_hour"), col("STOCK", "stock"), col("GPUS", "gpu_count"), col("GPU", "gpu"), col("VRAM GB", "gpu_vram_gb"),
		})
	}), "/models", "name")
	n.routes()
	n.aliases()
	var input, output string
	price := n.verb("price MODEL", "Set what a model's tokens cost from now on", func(c *call) error {
		var m row
		if err := c.do(c, http.MethodPut, "/models"+path(c.args[0], "price"), nil, map[string]string{"input": input, "output": output}, &m); err != nil {
			return err
		}
		return c.one(columns, m)
	})
	price.Flags().StringVar(&input, "input", "", "EUR per million prompt tokens")
	price.Flags().StringVar(&output, "out", "", "EUR per million completion tokens")
	needs(n, price, "input", "out")
	n.names(price, "/models", "name")
	return n.cmd
}
