package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/engine"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/journal"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// TestMain is also the engine that the tests start: this binary, told by a
// variable how to behave.
func TestMain(m *testing.M) {
	if behave := os.Getenv("TEST_ENGINE"); behave != "" {
		os.Exit(behaveAs(behave))
	}
	goleak.VerifyTestMain(m)
}

func behaveAs(behave string) int {
	fmt.Println("pid", os.Getpid())
	if behave == "broken" {
		fmt.Fprintln(os.Stderr, "torch.OutOfMemoryError: CUDA out of memory.")
		fmt.Fprintln(os.Stderr, "goodbye")
		return 3
	}
	if os.Getenv("SECRET_OF_THE_AGENT") != "" {
		fmt.Println("error: the agent's environment shows")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"data":[{"id":"real-model"}]}`)
	})
	mux.HandleFunc("POST /die", func(http.ResponseWriter, *http.Request) { os.Exit(4) })
	fmt.Println(http.ListenAndServe(os.Args[1], mux))
	return 1
}

type bundle struct {
	t      *testing.T
	s      *engine.Supervisor
	output *journal.Journal
	stop   func()
}

func setup(t *testing.T) *bundle {
	t.Helper()
	dir := t.TempDir()
	output, err := journal.Open(filepath.Join(dir, "engine.log"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, output: output, s: engine.New(dir, os.Environ(), output, func(string, string) {})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.s.Run(ctx) }()
	b.stop = func() { cancel(); <-done }
	t.Cleanup(func() { b.stop(); _ = output.Close() })
	return b
}

func (b *bundle) process(behave string) wire.EngineSpec {
	return wire.EngineSpec{
		Kind: wire.EngineExec, Model: "asked-model", Command: []string{os.Args[0], "127.0.0.1:{port}"},
		Env: map[string]string{"TEST_ENGINE": behave},
	}
}

func (b *bundle) set(spec wire.EngineSpec) {
	b.t.Helper()
	if err := b.s.Set(spec); err != nil {
		b.t.Fatalf("Set = %v", err)
	}
}

// until waits for a status that ok takes.
func (b *bundle) until(what string, ok func(wire.EngineStatus) bool) wire.EngineStatus {
	b.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		if status := b.s.Status(); ok(status) {
			return status
		}
		select {
		case <-b.s.Moved():
		case <-deadline:
			b.t.Fatalf("waited 15 s for %s; the status is %+v", what, b.s.Status())
		}
	}
}

func in(state wire.EngineState) func(wire.EngineStatus) bool {
	return func(s wire.EngineStatus) bool { return s.State == state }
}

// pid returns the process id that the engine printed last.
func (b *bundle) pid() int {
	b.t.Helper()
	lines, err := b.output.Tail(1, func(line []byte) bool { return strings.HasPrefix(string(line), "pid ") })
	if err != nil || len(lines) != 1 {
		b.t.Fatalf("no process id in the output: %v", err)
	}
	pid, err := strconv.Atoi(string(lines[0][4:]))
	if err != nil {
		b.t.Fatal(err)
	}
	return pid
}

// gone waits until the process has ended.
func (b *bundle) gone(pid int) {
	b.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	b.t.Errorf("process %d is still there", pid)
}

func TestSupervisor_runsAProcessAndStopsIt(t *testing.T) {
	t.Setenv("SECRET_OF_THE_AGENT", "x")
	b := setup(t)
	b.set(b.process("well"))
	ready := b.until("ready", in(wire.EngineReady))
	if ready.Model != "real-model" || ready.Fingerprint != b.process("well").Fingerprint() || ready.Restarts != 0 {
		t.Errorf("status = %+v", ready)
	}
	pid, address := b.pid(), b.s.Address()
	if !strings.HasPrefix(address, "127.0.0.1:") {
		t.Errorf("it listens on %q", address)
	}
	b.set(b.process("well")) // the same again changes nothing
	if b.s.Status() != ready {
		t.Error("the same spec moves the engine")
	}
	b.stop()
	b.gone(pid)
	if s := b.s.Status(); s.State != wire.EngineStopped || b.s.Address() != "" {
		t.Errorf("after the end: %+v at %q", s, b.s.Address())
	}
	lines, err := b.output.Tail(10, nil)
	if err != nil || strings.Contains(fmt.Sprintf("%s", lines), "shows") {
		t.Errorf("output %s, %v", lines, err)
	}
}

func TestSupervisor_startsAgainWhatEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(b.process("well"))
	b.until("ready", in(wire.EngineReady))
	first := b.pid()
	resp, err := http.Post("http://"+b.s.Address()+"/die", "", nil)
	if err == nil {
		_ = resp.Body.Close()
	}
	failed := b.until("failed", in(wire.EngineFailed))
	if !strings.Contains(failed.Reason, "exit status 4") || b.s.Address() != "" {
		t.Errorf("after the death: %+v at %q", failed, b.s.Address())
	}
	again := b.until("ready again", func(s wire.EngineStatus) bool { return s.State == wire.EngineReady && s.Restarts == 1 })
	if second := b.pid(); second == first || again.Reason == "" {
		t.Errorf("process %d after %d", second, first)
	}
}

func TestSupervisor_saysWhyItNeverGotReady(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(b.process("broken"))
	failed := b.until("failed", in(wire.EngineFailed))
	if !strings.Contains(failed.Reason, "exit status 3") || failed.LastError != "torch.OutOfMemoryError: CUDA out of memory." {
		t.Errorf("reason %q, last error %q", failed.Reason, failed.LastError)
	}

	missing := b.process("well")
	missing.Command[0] = "/nonexistent/server"
	b.set(missing)
	failed = b.until("the missing program", func(s wire.EngineStatus) bool {
		return s.State == wire.EngineFailed && s.Fingerprint == missing.Fingerprint()
	})
	if !strings.Contains(failed.Reason, "could not be started") || !strings.Contains(failed.LastError, "/nonexistent/server") ||
		strings.Contains(failed.LastError, "again") {
		t.Errorf("reason %q, last error %q", failed.Reason, failed.LastError)
	}

	slow := wire.EngineSpec{Kind: wire.EngineSim, Model: "m", StartSeconds: 1, Sim: wire.SimSpec{LoadMillis: 60_000}}
	b.set(slow)
	failed = b.until("the slow one", func(s wire.EngineStatus) bool {
		return s.State == wire.EngineFailed && s.Fingerprint == slow.Fingerprint()
	})
	if !strings.Contains(failed.Reason, "did not answer within 1s") {
		t.Errorf("reason %q", failed.Reason)
	}
}

func TestSupervisor_replacesOneEngineByAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(b.process("well"))
	b.until("ready", in(wire.EngineReady))
	pid := b.pid()
	next := wire.EngineSpec{Kind: wire.EngineSim, Model: "simulated", Sim: wire.SimSpec{LoadMillis: 300}}
	b.set(next)
	b.until("loading", func(s wire.EngineStatus) bool { return s.State == wire.EngineLoading && s.Model == "simulated" })
	b.gone(pid)
	b.until("ready", func(s wire.EngineStatus) bool { return s.State == wire.EngineReady && s.Model == "simulated" })
	if g := b.s.Gauges(t.Context()); g == nil || g.Running == nil || *g.Running != 0 || g.KVCacheUse == nil {
		t.Errorf("gauges of the simulator = %+v", g)
	}
	resp, err := http.Get("http://" + b.s.Address() + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "simulated") {
		t.Errorf("models = %s, %v", body, err)
	}
}

func TestSupervisor_faultLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.set(wire.EngineSpec{Kind: wire.EngineSim, Model: "m", Sim: wire.SimSpec{Faults: []wire.SimFault{{Kind: wire.FaultLoad}}}})
	if s := b.until("failed", in(wire.EngineFailed)); !strings.Contains(s.Reason, "told to fail") {
		t.Errorf("reason %q", s.Reason)
	}
	if err := b.s.Set(wire.EngineSpec{Kind: "shell"}); err == nil {
		t.Error("Set takes a spec that cannot be run")
	}
}

func TestParseGauges(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want *wire.EngineGauges
	}{
		"vLLM, two engines": {
			`# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0"} 0.5
vllm:kv_cache_usage_perc{engine="1"} 0.25
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0"} 1.0e+06
`, &wire.EngineGauges{Running: new(int64(7)), KVCacheUse: new(0.375), GenerationTokens: new(int64(1e6))},
		},
		"older vLLM, rewritten": {
			"vllm_num_requests_waiting 2\nvllm_gpu_cache_usage_perc 0.125\n",
			&wire.EngineGauges{Waiting: new(int64(2)), KVCacheUse: new(0.125)},
		},
		"llama.cpp": {
			"# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 1\n# TYPE llamacpp:tokens_predicted_total counter\nllamacpp:tokens_predicted_total 42\n",
			&wire.EngineGauges{Running: new(int64(1)), GenerationTokens: new(int64(42))},
		},
		"not a number": {"vllm:kv_cache_usage_perc NaN\n", nil},
		"nothing":      {"process_cpu_seconds_total 3\n", nil},
		"HTML":         {"<html>no metrics here</html>", nil},
	} {
		if diff := cmp.Diff(tc.want, engine.ParseGauges([]byte(tc.text))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}
