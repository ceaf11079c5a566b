package views_test

import (
	"fmt"
	"math"
	"time"

	"github.com/a-h/templ"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// all is every permission.
var all = views.May{
	Instances: true, Operate: true, Models: true, EditPrices: true, Endpoints: true, EditEndpoints: true,
	PrivateEndpoints: true, Keys: true, AllKeys: true, Members: true, EditMembers: true, Limits: true,
	Usage: true, AllUsage: true, Costs: true, Inference: true, Audit: true, Platform: true,
}

func eur(s string) money.EUR {
	v, err := money.Parse(s)
	if err != nil {
		panic(err)
	}
	return v
}

func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

// wave is a plausible hour of measurements.
func wave(base, swing float64, seed int) []float64 {
	points := make([]float64, 60)
	for i := range points {
		x := float64(i+seed*7) / 6
		points[i] = max(0, base+swing*(math.Sin(x)+0.5*math.Sin(x*2.7+float64(seed))+0.3*math.Sin(x*7.1)))
	}
	return points
}

func shell(path string) views.Shell {
	return views.Shell{
		Path: path, Since: "p1:42", Person: "owner@atelier.example",
		Organisation: views.Choice{ID: "o1", Name: "Atelier Nord"},
		Others:       []views.Choice{{ID: "o2", Name: "Laboratoire Sud"}},
		Counts:       map[string]int{"/deployments": 4, "/instances": 5},
		May:          all,
		Meter: views.Meter{
			Costs: true, PerHour: eur("4.41"), Month: eur("1284.07"), Forecast: eur("1812.40"),
			Now: time.Date(2026, 11, 23, 21, 56, 0, 0, time.UTC), Requests: 212,
		},
	}
}

func rows() []views.InstanceRow {
	return []views.InstanceRow{
		{
			ID: "i1", Name: "inst-7f2a91c4", Model: "llama-3.1-8b", State: "ready", Where: "L4-1-24G · fr-par-2", Progress: 100,
			Tokens: wave(38, 12, 1), Running: 3, GPU: 0.41, PerHour: eur("0.79"), Billed: true, Since: ago(148 * time.Hour),
		},
		{
			ID: "i2", Name: "inst-c41e07b2", Model: "qwen2.5-32b", State: "ready", Where: "L40S-1-48G · fr-par-2", Progress: 100,
			Tokens: wave(112, 40, 2), Running: 9, GPU: 0.67, PerHour: eur("1.4999"), Billed: true, Since: ago(49 * time.Hour), Quiet: "not heard from for 41 s",
		},
		{
			ID: "i3", Name: "inst-0d9b6a31", Model: "qwen2.5-32b", State: "starting", Where: "L40S-1-48G · pl-waw-2", Progress: 72, Step: "model_loaded",
			GPU: -1, PerHour: eur("1.47"), Billed: true, Since: ago(8 * time.Minute),
		},
		{
			ID: "i4", Name: "inst-5e0012ff", Model: "bge-m3", State: "ready", Where: "RENDER-S · fr-par-1", Progress: 100,
			Tokens: wave(0, 0, 4), GPU: 0.02, PerHour: eur("1.24"), Billed: true, Since: ago(41 * 24 * time.Hour), Cordoned: true,
		},
		{
			ID: "i5", Name: "inst-91aa40de", Model: "mixtral-8x7b", State: "provisioning_failed", Where: "H100-1-80G · fr-par-2", Progress: 5,
			GPU: -1, Since: ago(12 * time.Minute), Reason: "H100-1-80G is out of stock in fr-par-2 and pl-waw-2. Next try at 22:15.",
		},
	}
}

func costChart(days, ahead int) views.CostChart {
	c := views.CostChart{Caption: "Cost per day by model"}
	for i := range 30 {
		d := views.CostDay{Day: time.Date(2026, 11, 1+i, 0, 0, 0, 0, time.UTC), Href: fmt.Sprintf("/usage?day=2026-11-%02d", i+1)}
		if i < days {
			w := 1 + 0.3*math.Sin(float64(i)*0.9)
			part := func(name string, euros float64) {
				d.Parts = append(d.Parts, views.CostPart{Name: name, Cost: money.EUR(euros * w * 1e9)})
			}
			part("llama-3.1-8b", 18.9)
			part("qwen2.5-32b", 24.1)
			part("bge-m3", 7.4)
		} else if i < days+ahead {
			d.Ahead = eur("55.20")
		}
		c.Days = append(c.Days, d)
	}
	return c
}

func home() views.Home {
	return views.Home{
		Serving: 3, Starting: 1, Total: 7, Month: "November", BaseURL: "https://inventiv.example/v1", Model: "llama-3.1-8b", May: all,
		Figures: []views.Figure{
			{Label: "Running now", Value: "4.41", Unit: "€/h", Note: "4 instances, 1 on its way"},
			{Label: "Month to date", Value: "1,284.07", Unit: "€", Note: "about 1,812 € by the 30th"},
			{Label: "Requests", Value: "212", Unit: "a minute", Spark: wave(200, 60, 3)},
			{Label: "First token", Value: "184", Unit: "ms", Note: "p99 910 ms, the last hour"},
		},
		Alerts: []views.Alert{{Kind: "busy", Title: "mixtral-8x7b is waiting for stock.", Text: "H100-1-80G is out in fr-par-2 and pl-waw-2. Next try at 22:15.", Href: "/instances/i5", Action: "See the instance"}},
		Rows:   rows(), Chart: costChart(23, 7),
	}
}

func firstHome() views.Home {
	return views.Home{
		BaseURL: "http://127.0.0.1:8080/v1", May: all, Month: "November",
		Figures: []views.Figure{
			{Label: "Running now", Value: "0.00", Unit: "€/h", Note: "nothing is rented"},
			{Label: "Month to date", Value: "0.00", Unit: "€"},
			{Label: "Requests", Value: "0", Unit: "a minute"},
			{Label: "First token", Value: "–", Note: "no request in the last hour"},
		},
		Todo: []views.Task{
			{Done: true, Title: "Set up your account", Text: "Done."},
			{Title: "Deploy a model", Text: "Choose a model and a machine that holds it; the rest is automatic. Or connect a server that runs already.", Href: "/deployments/new", Action: "Deploy a model"},
			{Title: "Create an API key", Text: "Applications use it with the base URL of this platform.", Href: "/keys", Action: "Create a key"},
			{Title: "See the first call", Text: "It shows up under Usage and cost within seconds.", Href: "/playground", Action: "Try it"},
		},
	}
}

func instance() views.Instance {
	r := rows()[2]
	started := ago(8*time.Minute + time.Second)
	return views.Instance{
		Row: r, Replica: "replica 2 of 2", Connected: "online", Deployment: "qwen", DeployedID: "d2", Started: started, Left: 3 * time.Minute, Generation: 1,
		Steps: []views.Step{
			{Code: "requested", State: "done", Detail: "L40S-1-48G in pl-waw-2, 1.4699 €/h, in stock", Took: 400 * time.Millisecond},
			{Code: "server_created", State: "done", Detail: "stopped, tagged", Took: 3100 * time.Millisecond},
			{Code: "volume_ready", State: "done", Detail: "root volume of 180 GB", Took: 1900 * time.Millisecond},
			{Code: "powered_on", State: "done", Usual: "usually 21 s", Took: 21 * time.Second},
			{Code: "address_known", State: "done", Detail: "51.15.0.17", Took: 600 * time.Millisecond},
			{Code: "network_secured", State: "done", Detail: "only port 22 from this control plane", Took: 1200 * time.Millisecond},
			{Code: "reachable", State: "done", Detail: "SHA256:4b1f… matches the fingerprint the image published", Usual: "usually 14 s", Took: 12 * time.Second},
			{Code: "agent_installed", State: "done", Detail: "driver 580, docker 28, agent 1.4.2", Usual: "usually 2 min 2 s", Took: 128 * time.Second},
			{Code: "engine_http", State: "done", Detail: "vLLM 0.13.0", Took: 31 * time.Second},
			{Code: "model_loaded", State: "now", Detail: "Qwen/Qwen2.5-32B-Instruct-AWQ, 12.2 of 19.3 GB, 64 MB/s", Share: 63, Usual: "usually 5 min 10 s", Started: ago(192 * time.Second)},
			{Code: "first_token", State: "todo", Usual: "last time 52 s"},
			{Code: "verified", State: "todo"},
			{Code: "ready", State: "todo"},
		},
		Costs: []views.Cost{
			{What: "Server", Amount: eur("0.1960")}, {What: "Volume, 180 GB", Amount: eur("0.0029")}, {What: "Address", Amount: eur("0.0005")},
		},
		CostSoFar: eur("0.1994"), PerMonth: eur("1093.83"),
		Facts: []views.Fact{
			{Name: "Provider", Value: "Scaleway, pl-waw-2"}, {Name: "Type", Value: "L40S-1-48G"}, {Name: "GPU", Value: "1 × L40S, 46,068 MiB"},
			{Name: "Address", Value: "51.15.0.17", Mono: true}, {Name: "Open ports", Value: "none"}, {Name: "Agent", Value: "1.4.2, verified"},
			{Name: "Heard from", At: ago(3 * time.Second)},
		},
		Gauges: []views.GaugeRow{
			{Name: "GPU memory", Value: "11.6 of 45.0 GiB", Values: wave(24, 8, 5), Top: 100},
			{Name: "GPU", Value: "34%", Values: wave(40, 22, 6), Top: 100},
		},
		History: []views.Change{
			{At: ago(3 * time.Minute), State: "starting", Text: "the agent joined"},
			{At: ago(6 * time.Minute), State: "installing"},
			{At: ago(7 * time.Minute), State: "booting"},
			{At: started, State: "provisioning", Text: "asked for by owner@atelier.example"},
		},
		Log:     views.Log{Source: "engine", Sources: []string{"engine", "agent", "operations"}, Lines: logLines()},
		Actions: []string{"terminate", "replace"}, May: all,
	}
}

func logLines() []views.LogLine {
	texts := []string{
		"starting vllm/vllm-openai@sha256:5d1c… tensor-parallel 1, max-model-len 16384",
		"resolved architecture Qwen2ForCausalLM, dtype bfloat16",
		"loading safetensors shard 9 of 17", "loading safetensors shard 10 of 17", "loading safetensors shard 11 of 17",
	}
	var lines []views.LogLine
	for i := range 14 {
		l := views.LogLine{At: ago(time.Duration(140-i*10) * time.Second), Text: texts[i%len(texts)]}
		if i == 6 {
			l.Level, l.Text = "warn", "the download is slower than usual: 12 MB/s"
		}
		lines = append(lines, l)
	}
	return lines
}

func readyInstance() views.Instance {
	p := instance()
	p.Row = rows()[0]
	p.Replica, p.Deployment, p.Left, p.RecentUsage = "", "llama", 0, 2841
	p.Ready = p.Started.Add(282 * time.Second)
	for i := range p.Steps {
		p.Steps[i].State, p.Steps[i].Usual = "done", ""
		if p.Steps[i].Took == 0 {
			p.Steps[i].Took = 4 * time.Second
		}
	}
	p.Gauges = []views.GaugeRow{
		{Name: "Tokens per second", Value: "38", Values: wave(38, 12, 1)},
		{Name: "Requests in progress", Value: "3", Values: wave(3, 1.5, 9)},
		{Name: "KV cache", Value: "22%", Values: wave(22, 9, 3), Top: 100},
		{Name: "GPU", Value: "41%", Values: wave(41, 20, 6), Top: 100},
	}
	p.Actions = []string{"terminate", "replace", "reinstall", "cordon"}
	return p
}

func failedInstance() views.Instance {
	p := instance()
	p.Row = rows()[4]
	p.Left = 0
	p.Wait = views.Alert{Kind: "bad", Title: "Out of stock.", Text: "H100-1-80G is out in fr-par-2 and pl-waw-2; three tries since 21:40. Nothing is billed. It is tried again at 22:15, or retry now.", Href: "/deployments/d4", Action: "Allow another machine"}
	for i := range p.Steps {
		switch {
		case i == 1:
			p.Steps[i] = views.Step{Code: "server_created", State: "failed", Detail: "the provider answered: out of stock", Took: 900 * time.Millisecond}
		case i > 1:
			p.Steps[i].State = "todo"
		}
	}
	p.Actions = []string{"retry", "terminate"}
	p.Log = views.Log{Source: "engine", Sources: []string{"engine", "agent", "operations"}, Why: "The engine has not started, so it has no log yet."}
	return p
}

func deploymentRows() []views.DeploymentRow {
	return []views.DeploymentRow{
		{ID: "d1", Name: "llama", Model: "llama-3.1-8b", State: "serving", Ready: 1, Replicas: 1, Min: 1, Max: 1, Offers: []string{"L4-1-24G, fr-par-2"}, PerHour: eur("0.79"), Created: ago(148 * time.Hour)},
		{ID: "d2", Name: "qwen", Model: "qwen2.5-32b", State: "scaling", Reason: "one of two instances is loading the model", Ready: 1, Replicas: 2, Min: 2, Max: 4, Offers: []string{"L40S-1-48G, fr-par-2", "L40S-1-48G, pl-waw-2"}, PerHour: eur("2.97"), Created: ago(49 * time.Hour)},
		{ID: "d4", Name: "mixtral", Model: "mixtral-8x7b", State: "waiting", Reason: "H100-1-80G is out of stock", Min: 1, Max: 1, Offers: []string{"H100-1-80G, fr-par-2"}, Created: ago(time.Hour)},
		{ID: "d5", Name: "nightly-eval", Model: "qwen2.5-32b", State: "stopped", Min: 1, Max: 2, Offers: []string{"L40S-1-48G, fr-par-2"}, Created: ago(900 * time.Hour)},
	}
}

var snippets = views.Snippets{BaseURL: "https://inventiv.example/v1", Model: "qwen2.5-32b"}

func deploy() views.Deploy {
	return views.Deploy{
		Models: []views.ModelChoice{
			{ID: "m0", Name: "inventiv/simulated-chat", Simulated: true, Context: 8192, Serving: 1},
			{ID: "m1", Name: "Qwen/Qwen2.5-0.5B-Instruct", VRAM: 4, Context: 32768},
			{ID: "m2", Name: "meta-llama/Llama-3.1-8B-Instruct", VRAM: 20, Context: 131072, Serving: 1},
			{ID: "m3", Name: "Qwen/Qwen2.5-32B-Instruct-AWQ", VRAM: 38, Context: 32768},
			{ID: "m4", Name: "mistralai/Mixtral-8x7B-Instruct-v0.1", VRAM: 96, Context: 32768},
			{ID: "m5", Name: "BAAI/bge-m3", VRAM: 6, Context: 8192},
		},
		Model: "m3", Needs: 38, First: "scaleway/fr-par-2/L40S-1-48G", Then: []string{"scaleway/pl-waw-2/H100-1-80G"}, Name: "qwen2-5-32b", Min: 1, Max: 2, May: all,
		Offers: []views.OfferChoice{
			{ID: "scaleway/fr-par-2/L40S-1-48G", Type: "L40S-1-48G", Where: "Scaleway, fr-par-2", GPU: "1 × L40S", VRAM: 48, PerHour: eur("1.4"), PerMonth: eur("1022"), Stock: "available", Fits: true},
			{ID: "scaleway/pl-waw-2/L40S-1-48G", Type: "L40S-1-48G", Where: "Scaleway, pl-waw-2", GPU: "1 × L40S", VRAM: 48, PerHour: eur("1.4"), PerMonth: eur("1022"), Stock: "scarce", Fits: true},
			{ID: "scaleway/pl-waw-2/H100-1-80G", Type: "H100-1-80G", Where: "Scaleway, pl-waw-2", GPU: "1 × H100 PCIe", VRAM: 80, PerHour: eur("2.73"), PerMonth: eur("1992.9"), Stock: "out", Fits: true},
			{ID: "scaleway/fr-par-2/L4-1-24G", Type: "L4-1-24G", Where: "Scaleway, fr-par-2", GPU: "1 × L4", VRAM: 24, PerHour: eur("0.75"), PerMonth: eur("547.5"), Stock: "available", Why: "needs 38 GB, has 24"},
		},
	}
}

// records are a whole answer and one that was cut off.
func records() []views.RecordRow {
	rec := views.RecordRow{
		ID: "0193a1c2-77aa-7c11-9f02-3b1d5e8a4c60", At: ago(9 * time.Second), Key: "marketing-bot", KeyID: "k1", Member: "ada@atelier.example",
		Model: "qwen2.5-32b", Path: "/v1/chat/completions", Upstream: "inst-c41e07b2", UpstreamID: "i1", Status: "completed", HTTP: 200, Streamed: true,
		Source: "engine", Input: 412, Output: 231, Cached: 384, FirstToken: 184 * time.Millisecond, Took: 5600 * time.Millisecond,
		Value: eur("0.000161"), InputPrice: eur("0.20"), OutputPrice: eur("0.60"),
	}
	cut := rec
	cut.ID, cut.At, cut.Status, cut.Key, cut.Output = "0193a1c2-71aa-7c11-9f02-3b1d5e8a4c60", ago(70*time.Second), "interrupted", "support-copilot", 17
	cut.Error, cut.Asked, cut.Source, cut.Endpoint, cut.HTTP, cut.Retried = "client_gone", "fast", "counted", true, 0, true
	return []views.RecordRow{rec, cut}
}

func requests() views.Requests {
	return views.Requests{
		Filter: views.RequestFilter{Period: "24h"}, Words: "in the last 24 hours", Rows: records(), Older: "AAAA", May: all,
		Keys: []views.Choice{{ID: "k1", Name: "marketing-bot"}}, Members: []views.Choice{{ID: "u1", Name: "ada@atelier.example"}},
		Paths: []string{"/v1/chat/completions", "/v1/embeddings"},
	}
}

func usage() views.Usage {
	return views.Usage{
		Period: "month", By: "key", Words: "this month", Spent: eur("1284.07"), May: all, Chart: costChart(23, 7),
		Figures: []views.Figure{
			{Label: "Running now", Value: "4.41", Unit: "€/h"},
			{Label: "By the 30th", Value: "1,812.40", Unit: "€", Note: "if what runs now goes on"},
			{Label: "A million tokens", Value: "0.63", Unit: "€", Note: "machines, divided by all tokens"},
			{Label: "Requests", Value: "1,353,195", Note: "41 interrupted"},
		},
		Rows: []views.UsageRow{
			{Name: "marketing-bot", Sub: "ada@atelier.example", Requests: 48210, Input: 61_200_000, Output: 9_800_000, Value: eur("41.90")},
			{Name: "support-copilot", Sub: "grace@atelier.example", Requests: 88034, Input: 97_500_000, Output: 21_400_000, Value: eur("33.15")},
			{Name: "nightly-eval", Sub: "ci@atelier.example", Requests: 12400, Input: 38_100_000, Output: 3_200_000, Value: eur("19.60")},
			{Name: "search", Sub: "linus@atelier.example", Requests: 1204551, Input: 402_700_000, Value: eur("12.07")},
			{Name: "Playground", Requests: 31, Input: 9120, Output: 4011, Value: eur("0.0043")},
		},
		Totals:  views.UsageRow{Requests: 1353226, Input: 599_509_120, Output: 34_404_011, Value: eur("106.72")},
		Kinds:   []views.Cost{{What: "Servers", Amount: eur("1231.40")}, {What: "Volumes", Amount: eur("41.12")}, {What: "Addresses", Amount: eur("11.55")}},
		Records: records(),
		Charges: []views.ChargeRow{
			{Instance: "inst-7f2a91c4", What: "L4-1-24G", Model: "llama-3.1-8b", Where: "Scaleway, fr-par-2", From: ago(148 * time.Hour), PerHour: eur("0.75"), Amount: eur("111.00")},
			{Instance: "inst-7f2a91c4", What: "100 GB volume", Model: "llama-3.1-8b", Where: "Scaleway, fr-par-2", From: ago(148 * time.Hour), PerHour: eur("0.0118"), Amount: eur("1.7464")},
			{Instance: "inst-11d0beef", What: "L40S-1-48G", Model: "qwen2.5-32b", Where: "Scaleway, pl-waw-2", From: ago(90 * time.Hour), To: ago(88 * time.Hour), PerHour: eur("1.4"), Amount: eur("2.80")},
		},
	}
}

// fixture is a page as the preview and the tests draw it.
type fixture struct {
	name string
	page views.Page
	path string // of the navigation entry; empty for a page outside
}

func (f fixture) draw() templ.Component {
	if f.path == "" {
		return views.Door("", f.page)
	}
	return views.Layout(shell(f.path), f.page)
}
