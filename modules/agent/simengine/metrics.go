package simengine

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// metrics are the figures that vLLM publishes and we read.
type metrics struct {
	running, waiting, prompt, generated atomic.Int64
}

// serveMetrics writes them under vLLM's names in Prometheus' text format.
func (e *Engine) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	running := e.metrics.running.Load()
	for _, m := range []struct {
		name, kind, help string
		value            float64
	}{
		{"vllm:num_requests_running", "gauge", "Requests in execution.", float64(running)},
		{"vllm:num_requests_waiting", "gauge", "Requests that wait.", float64(e.metrics.waiting.Load())},
		{"vllm:kv_cache_usage_perc", "gauge", "KV cache in use; simulated as slots in use. 1 means all.", float64(running) / float64(e.spec.MaxRunning)},
		{"vllm:prompt_tokens_total", "counter", "Prompt tokens processed.", float64(e.metrics.prompt.Load())},
		{"vllm:generation_tokens_total", "counter", "Tokens generated.", float64(e.metrics.generated.Load())},
	} {
		_, _ = fmt.Fprintf(w, "# HELP %[1]s %[2]s\n# TYPE %[1]s %[3]s\n%[1]s{model_name=%[4]q} %[5]g\n", m.name, m.help, m.kind, e.model, m.value)
	}
}
