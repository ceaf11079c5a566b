package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// write writes the report.
func write(ctx context.Context, all []pass, profile string) error {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return fmt.Errorf("ask git for the commit: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Performance

`+"`make bench`"+` wrote this page: mock upstreams, load generator, nginx and the gateway on the same two shared cores, interleaved,
in %d passes. The best pass of each target counts; beside it stands what the passes give alone. Read the ratios, not the absolute figures. CPU is that of the `+"`serve`"+` process alone (nginx: its workers);
"added" is over no proxy at all, peak memory is that of the cell: after a greater load, as in later passes, all keep some for a while. The gateway checks keys, routes, and meters every request; nginx does none of it.

Commit %s, %s.

`, *passes, strings.TrimSpace(string(commit)), time.Now().UTC().Format("2006-01-02"))
	bars(&b, all)
	table(&b, best(all))
	fmt.Fprintf(&b, "\n## Where the time of a small request goes\n\n`go tool pprof -top`, chat at c=64:\n\n```\n%s```\n", profileTable(profile))
	if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return os.WriteFile(*out, []byte(b.String()), 0o600)
}

// pick returns a figure of a cell at a target: of one pass, or the best of all.
type pick func(target, cell string, figure func(result) float64) float64

// bar is what a figure is held against; less is better unless more is set.
type bar struct {
	what     string
	of       func(pick) float64
	bar, aim float64
	more     bool
	unit     string
}

// measured returns the figure, for which the best pass of each target counts, and
// the lowest and the highest that one pass alone gives.
func (b bar) measured(all []pass) (got, low, high float64) {
	got = b.of(func(target, cell string, figure func(result) float64) (best float64) {
		for _, p := range all {
			if v := figure(p[target][cell]); v > 0 && (best == 0 || v < best != b.more) {
				best = v
			}
		}
		return best
	})
	var alone []float64
	for _, p := range all {
		v := b.of(func(target, cell string, figure func(result) float64) float64 { return figure(p[target][cell]) })
		if v > 0 { // else it was not measured in this pass
			alone = append(alone, v)
		}
	}
	return got, slices.Min(alone), slices.Max(alone)
}

func (b bar) verdict(got float64) string {
	reaches := func(limit float64) bool { return got <= limit != b.more || got == limit }
	switch {
	case b.aim != 0 && reaches(b.aim):
		return "aim"
	case reaches(b.bar):
		return "bar"
	}
	return "**no**"
}

const (
	chat   = "chat, c=64"
	lone   = "chat, c=1"
	stream = "stream of 200 chunks, c=64"
	paced  = "stream of 50 chunks every 20 ms, c=64"
	many   = "stream of 200 chunks, c=256"
	slow   = "stream of 10 chunks every second, c=5000"
	tunnel = "chat through an agent, c=64"
)

// overNginx is a figure of ours over nginx's.
func overNginx(cell string, figure func(result) float64) func(pick) float64 {
	return func(of pick) float64 { return of(ours, cell, figure) / of("nginx", cell, figure) }
}

func cpu(r result) float64    { return r.CPUPer }
func both(r result) float64   { return r.CPUPer + r.AgentPer }
func p50(r result) float64    { return r.P50 }
func p99(r result) float64    { return r.P99 }
func first(r result) float64  { return r.TTFTP99 }
func rate(r result) float64   { return r.PerS }
func memory(r result) float64 { return float64(r.PeakMB) }

func peak(cell string) func(pick) float64 {
	return func(of pick) float64 { return of(ours, cell, memory) }
}

func overPlain(figure func(result) float64) func(pick) float64 {
	return func(of pick) float64 { return of(ours, tunnel, figure) / of(ours, chat, cpu) }
}

// added is the median latency that we add over what nginx adds.
func added(of pick) float64 {
	direct := of("direct", lone, p50)
	return (of(ours, lone, p50) - direct) / (of("nginx", lone, p50) - direct)
}

var figures = []bar{ //nolint:gochecknoglobals // a table
	{what: "CPU per small chat request, c=64", of: overNginx(chat, cpu), bar: 2.5, aim: 1.8, unit: "× nginx"},
	{what: "CPU per streamed chunk, c=64, unpaced", of: overNginx(stream, result.perChunk), bar: 1.6, aim: 1.2, unit: "× nginx"},
	{what: "CPU per streamed chunk, c=64, every 20 ms", of: overNginx(paced, result.perChunk), bar: 2, aim: 1.5, unit: "× nginx"},
	{what: "requests/s at c=64", of: overNginx(chat, rate), bar: 0.6, aim: 0.8, more: true, unit: "× nginx"},
	{what: "p50 added at c=1", of: added, bar: 1.6, aim: 1.2, unit: "× nginx"},
	{what: "p99 at c=64, plain", of: overNginx(chat, p99), bar: 2, aim: 1.2, unit: "× nginx"},
	{what: "p99 of the first token at c=64", of: overNginx(stream, first), bar: 2, aim: 1.2, unit: "× nginx"},
	{what: "peak memory, 256 streams", of: peak(many), bar: 60, aim: 40, unit: "MB"},
	{what: "peak memory, 5,000 streams of one token a second", of: peak(slow), bar: 250, aim: 150, unit: "MB"},
	{what: "time of a 100 kB prompt, p50", of: overNginx("chat, 100 kB prompt, c=8", p50), bar: 1.3, unit: "× nginx"},
	{what: "time of a 1 MB prompt, p50", of: overNginx("chat, 1 MB prompt, c=8", p50), bar: 1.3, unit: "× nginx"},
	{what: "CPU through the tunnel, serve", of: overPlain(cpu), bar: 1.4, aim: 1.2, unit: "× plain"},
	{what: "CPU through the tunnel, serve and agent", of: overPlain(both), bar: 2.8, aim: 2.2, unit: "× plain"},
	{what: "p99 under 10,000 invalid keys/s", of: func(of pick) float64 { return of(ours, flooded, p99) / of(ours, calm, p99) }, bar: 2, unit: "× idle"},
}

func bars(b *strings.Builder, passes []pass) {
	b.WriteString("| figure | measured | in one pass | bar | aim | reaches |\n|---|---|---|---|---|---|\n")
	for _, x := range figures {
		aim := "–"
		if x.aim != 0 {
			aim = fmt.Sprintf("%g", x.aim)
		}
		got, low, high := x.measured(passes)
		fmt.Fprintf(b, "| %s | %.2f %s | %.2f to %.2f | %g | %s | %s |\n", x.what, got, x.unit, low, high, x.bar, aim, x.verdict(got))
	}
	b.WriteString("\n")
}

// best keeps of each cell the pass without loss, then the one with the lower CPU
// cost, the firmest figure on a shared machine, then the one with the higher rate.
func best(all []pass) pass {
	kept := pass{}
	for _, p := range all {
		for target, cells := range p {
			if kept[target] == nil {
				kept[target] = map[string]result{}
			}
			for cell, r := range cells {
				if old, seen := kept[target][cell]; seen {
					lowest := min(old.PeakMB, r.PeakMB)
					if better(old, r) {
						r = old
					}
					r.PeakMB = lowest
				}
				kept[target][cell] = r
			}
		}
	}
	return kept
}

func better(a, b result) bool {
	if (a.Uncounted <= 0) != (b.Uncounted <= 0) {
		return a.Uncounted <= 0
	}
	if a.CPUPer > 0 && b.CPUPer > 0 {
		return a.CPUPer < b.CPUPer
	}
	return a.PerS > b.PerS
}

func table(b *strings.Builder, best pass) {
	b.WriteString("| load | target | per s | CPU µs per request | per chunk | p50 ms | p99 ms | first token p99 ms | peak MB | usage records missing |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range cells {
		for _, name := range []string{"direct", "nginx", "inventiv"} {
			r, measured := best[name][c.name]
			if !measured {
				continue
			}
			missing, chunk, ttft := "–", "–", "–"
			if name == "inventiv" {
				missing = fmt.Sprint(max(0, r.Uncounted))
			}
			if c.stream {
				chunk, ttft = fmt.Sprintf("%.2f", r.perChunk()), fmt.Sprintf("%.2f", r.TTFTP99)
			}
			cpu := fmt.Sprintf("%.1f", r.CPUPer)
			switch {
			case name == "direct" && c.model != "":
				cpu, chunk = "–", "–" // another process than the one that is looked at
			case c.tunnel:
				cpu += fmt.Sprintf(" + %.1f in the agent", r.AgentPer)
			}
			fmt.Fprintf(b, "| %s | %s | %.0f | %s | %s | %.2f | %.2f | %s | %d | %s |\n",
				c.name, name, r.PerS, cpu, chunk, r.P50, r.P99, ttft, r.PeakMB, missing)
		}
	}
}

// profileTable leaves out what names the machine.
func profileTable(text string) string {
	i := strings.Index(text, "Showing nodes")
	if i < 0 {
		return text
	}
	return text[i:]
}
