// Command compare measures the gateway beside nginx and beside no proxy at all,
// in one run on one machine, and writes the ratios to docs/performance.md.
//
// Every process is started by this program on a loopback port of its own: the
// mock upstreams, nginx as a plain proxy, and inventiv with keys, routing and
// metering on. The targets are interleaved and the best of three passes of each
// figure counts, because absolute figures depend on what else the machine does.
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
	"regexp"
	"strconv"
	"syscall"
	"time"
)

var (
	passes = flag.Int("passes", 3, "interleaved passes of each cell")
	each   = flag.Duration("d", 4*time.Second, "time limit of one cell")
	out    = flag.String("out", "docs/performance.md", "the report")
	bin    = flag.String("bin", "bin/inventiv", "the gateway")
	only   = flag.String("cells", "", "a regular expression; measure only the cells that it matches, and write nothing")
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
	AgentPer  float64        `json:"other_us_per_req"`
	PeakMB    int            `json:"peak_mb"`
	Uncounted int            `json:"-"` // answered but not stored 5 s later
}

// perChunk returns the CPU of a streamed chunk, in microseconds.
func (r result) perChunk() float64 { return r.CPUPer * float64(r.OK) / float64(max(1, r.Chunks)) }

// cell is one load shape.
type cell struct {
	name   string
	model  string // plain unless it says otherwise
	stream bool
	conns  int
	warm   int
	prompt int
	once   bool // it takes long, and one pass will do
	tunnel bool // of the gateway alone: through an agent
}

var cells = []cell{
	{name: "chat, c=1", conns: 1, warm: 200},
	{name: "chat, c=64", conns: 64, warm: 500},
	{name: "chat through an agent, c=64", conns: 64, warm: 500, tunnel: true},
	{name: "stream of 200 chunks, c=1", stream: true, conns: 1, warm: 20},
	{name: "stream of 200 chunks, c=64", stream: true, conns: 64, warm: 64},
	{name: "stream of 200 chunks, c=256", stream: true, conns: 256, warm: 256},
	{name: "stream of 50 chunks every 20 ms, c=64", model: "paced", stream: true, conns: 64, warm: 64},
	{name: "chat, 100 kB prompt, c=8", conns: 8, warm: 20, prompt: 100_000},
	{name: "chat, 1 MB prompt, c=8", conns: 8, warm: 20, prompt: 1_000_000},
	{name: "stream of 10 chunks every second, c=5000", model: "slow", stream: true, conns: 5000, once: true},
	{name: "stream of 200 chunks through an agent, c=64", stream: true, conns: 64, warm: 64, tunnel: true},
}

func (c cell) args(limit time.Duration) []string {
	n := 60_000
	if c.once {
		n, limit = c.conns, 30*time.Second
	}
	args := []string{"-c", strconv.Itoa(c.conns), "-warm", strconv.Itoa(c.warm), "-n", strconv.Itoa(n), "-d", limit.String()}
	if c.stream {
		args = append(args, "-stream")
	}
	if c.prompt > 0 {
		args = append(args, "-prompt", strconv.Itoa(c.prompt))
	}
	return args
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
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("read -cells: %w", err)
	}
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

	var all []pass
	for n := range *passes {
		p, err := l.pass(ctx, n, wanted)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	if *only != "" {
		return nil
	}
	profile, err := l.profile(ctx)
	if err != nil {
		return err
	}
	return write(ctx, all, profile)
}

// pass is what one pass has measured, by target and cell.
type pass map[string]map[string]result

// pass measures every cell at every target, one target after the other, so that
// the machine is in much the same state for all of a cell's.
func (l *lab) pass(ctx context.Context, n int, wanted *regexp.Regexp) (pass, error) {
	p := pass{}
	for _, t := range l.targets {
		p[t.name] = map[string]result{}
	}
	for _, c := range cells {
		if !wanted.MatchString(c.name) || c.once && n > 0 {
			continue
		}
		for _, t := range l.targets {
			if c.tunnel && !t.meter {
				continue
			}
			r, err := l.measure(ctx, t, c)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", t.name, c.name, err)
			}
			fmt.Printf("pass %d  %-42s %-9s %8.0f/s  p50 %7.3f  p99 %7.2f ms  %8.1f µs CPU, %.1f in the agent  %d MB peak\n",
				n+1, c.name, t.name, r.PerS, r.P50, r.P99, r.CPUPer, r.AgentPer, r.PeakMB)
			p[t.name][c.name] = r
		}
	}
	if !wanted.MatchString(flooded) {
		return p, nil
	}
	flood, err := l.flood(ctx)
	if err != nil {
		return nil, err
	}
	p[ours][calm], p[ours][flooded] = flood[0], flood[1]
	fmt.Printf("pass %d  10,000 invalid keys/s: p99 %.2f ms, %.2f without\n", n+1, flood[1].P99, flood[0].P99)
	return p, nil
}

// What is measured besides the cells, and at whom.
const (
	ours    = "inventiv"
	calm    = "few requests"
	flooded = "few requests in a flood of invalid keys"
)

func (l *lab) measure(ctx context.Context, t target, c cell) (result, error) {
	model := "plain"
	if c.model != "" {
		model = c.model
	}
	extra := []string{}
	if c.tunnel {
		model = l.tunnelled
		extra = append(extra, "-other", strconv.Itoa(l.agent))
	}
	before, err := l.stored(ctx, t)
	if err != nil {
		return result{}, err
	}
	r, err := l.load(ctx, t, model, append(extra, c.args(*each)...)...)
	if err != nil {
		return r, err
	}
	if len(r.Errors) > 0 || r.OK == 0 || c.stream && r.Done != r.OK {
		return r, fmt.Errorf("not every request was answered whole: %+v", r)
	}
	for deadline := time.Now().Add(5 * time.Second); t.meter; time.Sleep(200 * time.Millisecond) {
		after, err := l.stored(ctx, t)
		if err != nil {
			return r, err
		}
		if r.Uncounted = r.OK + c.warm - (after - before); r.Uncounted <= 0 || time.Now().After(deadline) {
			break
		}
	}
	return r, nil
}

// load runs loadgen once.
func (l *lab) load(ctx context.Context, t target, model string, args ...string) (result, error) {
	args = append([]string{"-url", t.urls[model] + "/v1/chat/completions", "-key", t.key, "-model", model, "-pid", strconv.Itoa(t.pid)}, args...)
	if t.meter {
		args = append(args, "-alone")
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
	return r, nil
}

// flood measures how requests with a good key fare, alone and while ten thousand
// a second come with a bad one. They are few, so that takes four times as long as
// a cell: of 1,200 requests the p99 says more about the machine's twelve worst
// moments, and is up to twice as much from one time to the next.
func (l *lab) flood(ctx context.Context) ([2]result, error) {
	gate := l.targets[len(l.targets)-1]
	long := 4 * *each
	calm := []string{"-c", "8", "-rate", "300", "-n", "100000", "-warm", "50", "-d", long.String()}
	var r [2]result
	var err error
	if r[0], err = l.load(ctx, gate, "plain", calm...); err != nil {
		return r, err
	}
	bad := gate
	bad.key = invalidKey
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, err := l.load(ctx, bad, "plain", "-c", "64", "-rate", "10000", "-n", "1000000", "-d", (long + 2*time.Second).String())
		ended <- err
	}()
	time.Sleep(time.Second)
	if r[1], err = l.load(ctx, gate, "plain", calm...); err != nil {
		return r, err
	}
	return r, errors.Join(<-ended)
}

// invalidKey has the form of a key and a checksum that is wrong. One that is well
// formed and unknown waits for the next read of the keys, up to a second, so that
// a flood of those is as slow as its connections are many.
const invalidKey = "sk-inv-0000000000-0000000000000000000000000000000000000000000000000"

// profile says where the time of a small request goes.
func (l *lab) profile(ctx context.Context) (string, error) {
	gate := l.targets[len(l.targets)-1]
	ended := make(chan error, 1)
	go func() {
		_, err := l.load(ctx, gate, "plain", "-c", "64", "-n", "1000000", "-d", "8s")
		ended <- err
	}()
	time.Sleep(time.Second)
	text, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=14", *bin,
		"http://"+l.metrics+"/debug/pprof/profile?seconds=5").Output()
	if err := errors.Join(err, <-ended); err != nil {
		return "", fmt.Errorf("profile: %w", err)
	}
	return string(text), nil
}
