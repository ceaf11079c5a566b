package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// write writes the report.
func write(ctx context.Context, best map[string]map[string]result, flood [2]result, profile string) error {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return fmt.Errorf("ask git for the commit: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Performance

`+"`make bench`"+` wrote this page: mock upstreams, load generator, nginx and the gateway on the same two shared cores, interleaved,
best of %d passes. Read the ratios, not the absolute figures. CPU is that of the `+"`serve`"+` process alone (nginx: its workers);
"added" is over no proxy at all, peak memory is that of the cell, the lowest of the passes: after a greater load all keep some for a while.
The flood of invalid keys is the middle one of as many pairs. The gateway checks keys, routes, and meters every request; nginx does none of it.

Commit %s, %s.

`, *passes, strings.TrimSpace(string(commit)), time.Now().UTC().Format("2006-01-02"))
	bars(&b, best, flood)
	table(&b, best)
	fmt.Fprintf(&b, "\n## Where the time of a small request goes\n\n`go tool pprof -top`, chat at c=64:\n\n```\n%s```\n", profileTable(profile))
	if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return os.WriteFile(*out, []byte(b.String()), 0o600)
}

// bar is what a figure is held against; less is better unless more is set.
type bar struct {
	what     string
	got      float64
	bar, aim float64
	more     bool
	unit     string
}

func (b bar) verdict() string {
	reaches := func(limit float64) bool { return b.got <= limit != b.more || b.got == limit }
	switch {
	case b.aim != 0 && reaches(b.aim):
		return "aim"
	case reaches(b.bar):
		return "bar"
	}
	return "**no**"
}

func bars(b *strings.Builder, best map[string]map[string]result, flood [2]result) {
	d, n, g := best["direct"], best["nginx"], best["inventiv"]
	cpu := func(c string) float64 { return g[c].CPUPer / n[c].CPUPer }
	chunk := func(c string) float64 { return g[c].perChunk() / n[c].perChunk() }
	const chat, stream = "chat, c=64", "stream of 200 chunks, c=64"
	const paced, slow = "stream of 50 chunks every 20 ms, c=64", "stream of 10 chunks every second, c=5000"
	tunnel := g["chat through an agent, c=64"]
	list := []bar{
		{what: "CPU per small chat request, c=64", got: cpu(chat), bar: 2.5, aim: 1.8, unit: "× nginx"},
		{what: "CPU per streamed chunk, c=64, unpaced", got: chunk(stream), bar: 1.6, aim: 1.2, unit: "× nginx"},
		{what: "CPU per streamed chunk, c=64, every 20 ms", got: chunk(paced), bar: 2, aim: 1.5, unit: "× nginx"},
		{what: "requests/s at c=64", got: g[chat].PerS / n[chat].PerS, bar: 0.6, aim: 0.8, more: true, unit: "× nginx"},
		{what: "p50 added at c=1", got: added(g, d, "chat, c=1") / added(n, d, "chat, c=1"), bar: 1.6, aim: 1.2, unit: "× nginx"},
		{what: "p99 at c=64, plain", got: g[chat].P99 / n[chat].P99, bar: 2, aim: 1.2, unit: "× nginx"},
		{what: "p99 of the first token at c=64", got: g[stream].TTFTP99 / n[stream].TTFTP99, bar: 2, aim: 1.2, unit: "× nginx"},
		{what: "peak memory, 256 streams", got: float64(g["stream of 200 chunks, c=256"].PeakMB), bar: 60, aim: 40, unit: "MB"},
		{what: "peak memory, 5,000 streams of one token a second", got: float64(g[slow].PeakMB), bar: 250, aim: 150, unit: "MB"},
		{what: "time of a 100 kB prompt, p50", got: g["chat, 100 kB prompt, c=8"].P50 / n["chat, 100 kB prompt, c=8"].P50, bar: 1.3, unit: "× nginx"},
		{what: "time of a 1 MB prompt, p50", got: g["chat, 1 MB prompt, c=8"].P50 / n["chat, 1 MB prompt, c=8"].P50, bar: 1.3, unit: "× nginx"},
		{what: "CPU through the tunnel, serve", got: tunnel.CPUPer / g[chat].CPUPer, bar: 1.4, aim: 1.2, unit: "× plain"},
		{what: "CPU through the tunnel, serve and agent", got: (tunnel.CPUPer + tunnel.AgentPer) / g[chat].CPUPer, bar: 2.8, aim: 2.2, unit: "× plain"},
		{what: "p99 under 10,000 invalid keys/s", got: flood[1].P99 / flood[0].P99, bar: 2, unit: "× idle"},
	}
	b.WriteString("| figure | measured | bar | aim | reaches |\n|---|---|---|---|---|\n")
	for _, x := range list {
		aim := "–"
		if x.aim != 0 {
			aim = fmt.Sprintf("%g", x.aim)
		}
		fmt.Fprintf(b, "| %s | %.2f %s | %g | %s | %s |\n", x.what, x.got, x.unit, x.bar, aim, x.verdict())
	}
	b.WriteString("\n")
}

func added(of, direct map[string]result, c string) float64 { return of[c].P50 - direct[c].P50 }

func table(b *strings.Builder, best map[string]map[string]result) {
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
