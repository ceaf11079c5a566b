// Command compare measures the gateway beside nginx and beside no proxy at all,
// in one run on one machine, and writes the ratios to docs/performance.md.
//
// Every process is started by this program on a loopback port of its own: the
// mock upstream, nginx as a plain proxy, and inventiv with keys, routing and
// metering on. The targets are interleaved and the best of three passes of each
// cell is kept, because absolute figures depend on what else the machine does.
// A cell counts only if every answered request is a stored usage record five
// seconds after it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var (
	passes = flag.Int("passes", 3, "interleaved passes of each cell")
	each   = flag.Duration("d", 4*time.Second, "time limit of one cell")
	out    = flag.String("out", "docs/performance.md", "the report")
	bin    = flag.String("bin", "bin/inventiv", "the gateway")
)

// result is one line of loadgen.
type result struct {
	OK        int            `json:"ok"`
	Errors    map[string]int `json:"errors"`
	PerS      float64        `json:"per_s"`
	P50       float64        `json:"p50_ms"`
	P99       float64        `json:"p99_ms"`
	TTFTP50   float64        `json:"ttft_p50_ms"`
	TTFTP99   float64        `json:"ttft_p99_ms"`
	Chunks    int            `json:"chunks"`
	Done      int            `json:"done"`
	CPUPer    float64        `json:"cpu_us_per_req"`
	PeakMB    int            `json:"peak_mb"`
	Uncounted int            `json:"-"` // answered but not stored 5 s later
}

// cell is one load shape.
type cell struct {
	name   string
	stream bool
	args   []string
}

var cells = []cell{
	{name: "chat, c=1", args: []string{"-c", "1", "-warm", "200", "-n", "20000"}},
	{name: "chat, c=64", args: []string{"-c", "64", "-warm", "500", "-n", "60000"}},
	{name: "stream of 200 chunks, c=1", stream: true, args: []string{"-stream", "-c", "1", "-warm", "20", "-n", "20000"}},
	{name: "stream of 200 chunks, c=64", stream: true, args: []string{"-stream", "-c", "64", "-warm", "64", "-n", "20000"}},
	{name: "stream of 200 chunks, c=256", stream: true, args: []string{"-stream", "-c", "256", "-warm", "256", "-n", "20000"}},
	{name: "chat, 100 kB prompt, c=8", args: []string{"-c", "8", "-warm", "20", "-n", "20000", "-prompt", "100000"}},
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "inventiv-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the embedded database's own user passes through it
		return fmt.Errorf("open the folder: %w", err)
	}
	l, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer l.stop()

	best := map[string]map[string]result{} // target, cell
	for pass := range *passes {
		for _, c := range cells {
			for _, t := range l.targets {
				r, err := l.measure(ctx, t, c)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", t.name, c.name, err)
				}
				fmt.Printf("pass %d  %-28s %-9s %8.0f/s  p99 %7.2f ms  %8.1f µs CPU  %d MB peak\n",
					pass+1, c.name, t.name, r.PerS, r.P99, r.CPUPer, r.PeakMB)
				if best[t.name] == nil {
					best[t.name] = map[string]result{}
				}
				if old, seen := best[t.name][c.name]; !seen || better(r, old) {
					best[t.name][c.name] = r
				}
			}
		}
	}
	return write(ctx, best)
}

// better prefers a cell without loss, then the lower CPU cost, the firmest
// figure on a shared machine, then the higher rate.
func better(a, b result) bool {
	if (a.Uncounted == 0) != (b.Uncounted == 0) {
		return a.Uncounted == 0
	}
	if a.CPUPer > 0 && b.CPUPer > 0 {
		return a.CPUPer < b.CPUPer
	}
	return a.PerS > b.PerS
}

func (l *lab) measure(ctx context.Context, t target, c cell) (result, error) {
	args := append([]string{"-url", t.url, "-key", t.key, "-model", "mock", "-pid", strconv.Itoa(t.pid), "-d", each.String()}, c.args...)
	if t.meter {
		args = append(args, "-alone")
	}
	before, err := l.stored(ctx, t)
	if err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, l.loadgen, args...)
	cmd.Stderr = os.Stderr
	line, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("loadgen: %w", err)
	}
	var r result
	if err := json.Unmarshal(line, &r); err != nil {
		return result{}, fmt.Errorf("read loadgen's line: %w", err)
	}
	if len(r.Errors) > 0 || r.OK == 0 || c.stream && r.Done != r.OK {
		return r, fmt.Errorf("not every request was answered whole: %s", line)
	}
	warm, err := strconv.Atoi(c.args[len(c.args)-index(c.args)])
	if err != nil {
		return r, fmt.Errorf("read -warm: %w", err)
	}
	for deadline := time.Now().Add(5 * time.Second); t.meter; {
		after, err := l.stored(ctx, t)
		if err != nil {
			return r, err
		}
		if r.Uncounted = r.OK + warm - (after - before); r.Uncounted <= 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	return r, nil
}

// index returns the distance from the end of args of the value of -warm.
func index(args []string) int {
	for i, a := range args {
		if a == "-warm" {
			return len(args) - i - 1
		}
	}
	return 0
}

func write(ctx context.Context, best map[string]map[string]result) error {
	var b strings.Builder
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return fmt.Errorf("ask git for the commit: %w", err)
	}
	fmt.Fprintf(&b, `# Performance

`+"`make bench`"+` wrote this page: mock upstream, load generator, nginx and the gateway on the same two shared cores, interleaved,
best of %d passes. Read the ratios, not the absolute figures. CPU is that of the `+"`serve`"+` process alone (nginx: its workers);
"added" is over no proxy at all, peak memory is that since the start of the process. The gateway checks keys, routes, and meters every request; nginx does none of it.

Commit %s, %s.

`, *passes, strings.TrimSpace(string(commit)), time.Now().UTC().Format("2006-01-02"))
	b.WriteString("| load | target | per s | × nginx | CPU µs per request | per chunk | × nginx | added p50 ms | added p99 ms | first token p99 ms | peak MB | usage records missing |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range cells {
		direct, nginx := best["direct"][c.name], best["nginx"][c.name]
		for _, name := range []string{"direct", "nginx", "inventiv"} {
			r := best[name][c.name]
			missing := "–"
			if name == "inventiv" {
				missing = strconv.Itoa(max(0, r.Uncounted))
			}
			chunk, ttft := "–", "–"
			if c.stream {
				chunk = fmt.Sprintf("%.2f", r.CPUPer*float64(r.OK)/float64(max(1, r.Chunks)))
				ttft = fmt.Sprintf("%.2f", r.TTFTP99)
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.2f | %.1f | %s | %.2f | %.2f | %.2f | %s | %d | %s |\n",
				c.name, name, r.PerS, r.PerS/nginx.PerS, r.CPUPer, chunk, r.CPUPer/nginx.CPUPer,
				r.P50-direct.P50, r.P99-direct.P99, ttft, r.PeakMB, missing)
		}
	}
	if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return errors.Join(os.WriteFile(*out, []byte(b.String()), 0o644))
}
