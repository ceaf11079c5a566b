package engine

import (
	"bytes"
	"context"
	"math"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// The names under which engines publish what we want to know, best first: vLLM
// in its own spelling and as some exporters rewrite it, llama.cpp, SGLang.
var (
	runningNames = []string{"vllm:num_requests_running", "vllm_num_requests_running", "llamacpp:requests_processing", "sglang:num_running_reqs"}
	waitingNames = []string{"vllm:num_requests_waiting", "vllm_num_requests_waiting", "llamacpp:requests_deferred", "sglang:num_queue_reqs"}
	cacheNames   = []string{
		"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "vllm_kv_cache_usage_perc", "vllm_gpu_cache_usage_perc",
		"llamacpp:kv_cache_usage_ratio", "sglang:token_usage",
	}
	promptNames    = []string{"vllm:prompt_tokens_total", "vllm_prompt_tokens_total", "llamacpp:prompt_tokens_total", "sglang:prompt_tokens_total"}
	generatedNames = []string{"vllm:generation_tokens_total", "vllm_generation_tokens_total", "llamacpp:tokens_predicted_total", "sglang:generation_tokens_total"}
)

const maxMetrics = 8 << 20

// Gauges asks a ready engine for its figures; nil when it is not ready or has
// none that we know.
func (s *Supervisor) Gauges(ctx context.Context) *wire.EngineGauges {
	address := s.Address()
	if address == "" {
		return nil
	}
	status, text, err := ask(ctx, address, "/metrics", maxMetrics)
	if err != nil || status != http.StatusOK {
		return nil
	}
	return ParseGauges(text)
}

// ParseGauges reads an engine's figures out of Prometheus' text format. Series
// of one name are added up, those of the cache averaged: an engine has one for
// each of its parts. It returns nil when there is none that we know.
func ParseGauges(text []byte) *wire.EngineGauges {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil && len(families) == 0 {
		return nil
	}
	g := wire.EngineGauges{
		Running: counted(families, runningNames), Waiting: counted(families, waitingNames),
		PromptTokens: counted(families, promptNames), GenerationTokens: counted(families, generatedNames),
	}
	if total, n := sum(families, cacheNames); n > 0 {
		mean := total / float64(n)
		g.KVCacheUse = &mean
	}
	if g == (wire.EngineGauges{}) {
		return nil
	}
	return &g
}

func counted(families map[string]*dto.MetricFamily, names []string) *int64 {
	total, n := sum(families, names)
	if n == 0 || total < 0 || total > 1e15 {
		return nil
	}
	v := int64(math.Round(total))
	return &v
}

// sum adds up the series of the first name that is there.
func sum(families map[string]*dto.MetricFamily, names []string) (total float64, n int) {
	for _, name := range names {
		for _, m := range families[name].GetMetric() {
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue() // one of them is set
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			total, n = total+v, n+1
		}
		if n > 0 {
			return total, n
		}
	}
	return 0, 0
}
