package gateway

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// genAI are the figures that OpenTelemetry's semantic conventions for generative
// AI name, with the buckets that they advise, as Prometheus writes them. Their
// model is the catalogue's, never what a client wrote.
type genAI struct {
	tokens, duration, firstToken, perToken *prometheus.HistogramVec

	mu     sync.RWMutex
	series map[genAISeries]*genAIObservers
}

type genAISeries struct {
	kind  openai.Kind
	model string
}

// genAIObservers are the figures of one series, found once.
type genAIObservers struct{ input, output, duration, firstToken, perToken prometheus.Observer }

func newGenAI() *genAI {
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets},
			append([]string{"gen_ai_operation_name", "gen_ai_request_model"}, labels...))
	}
	return &genAI{
		tokens: histogram("gen_ai_client_token_usage", "Tokens of a request, as the engine counted them.",
			prometheus.ExponentialBuckets(1, 4, 14), "gen_ai_token_type"),
		duration: histogram("gen_ai_server_request_duration_seconds", "Time to answer a request.",
			prometheus.ExponentialBuckets(0.01, 2, 14)),
		firstToken: histogram("gen_ai_server_time_to_first_token_seconds", "Time to the first token of a stream.",
			[]float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}),
		perToken: histogram("gen_ai_server_time_per_output_token_seconds", "Time of each token of a stream after the first.",
			[]float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}),
		series: map[genAISeries]*genAIObservers{},
	}
}

func (g *genAI) all() []prometheus.Collector {
	return []prometheus.Collector{g.tokens, g.duration, g.firstToken, g.perToken}
}

// Describe implements prometheus.Collector.
func (g *genAI) Describe(to chan<- *prometheus.Desc) {
	for _, c := range g.all() {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (g *genAI) Collect(to chan<- prometheus.Metric) {
	for _, c := range g.all() {
		c.Collect(to)
	}
}

// of returns the observers of a series, made when it is first seen.
func (g *genAI) of(s genAISeries) *genAIObservers {
	g.mu.RLock()
	o := g.series[s]
	g.mu.RUnlock()
	if o != nil {
		return o
	}
	operation := map[openai.Kind]string{
		openai.Chat: "chat", openai.Completions: "text_completion", openai.Embeddings: "embeddings", openai.Rerank: "rerank", openai.Score: "score",
		openai.Tokenize: "tokenize", openai.Detokenize: "detokenize",
	}[s.kind]
	o = &genAIObservers{
		input: g.tokens.WithLabelValues(operation, s.model, "input"), output: g.tokens.WithLabelValues(operation, s.model, "output"),
		duration:   g.duration.WithLabelValues(operation, s.model),
		firstToken: g.firstToken.WithLabelValues(operation, s.model), perToken: g.perToken.WithLabelValues(operation, s.model),
	}
	g.mu.Lock()
	g.series[s] = o
	g.mu.Unlock()
	return o
}

// ended notes a final record. Tokens that nobody counted are none, not zero.
func (g *genAI) ended(r *spool.Record, kind openai.Kind) {
	o := g.of(genAISeries{kind, r.Model})
	o.duration.Observe(r.Duration.Seconds())
	if r.Source == spool.Engine {
		o.input.Observe(float64(r.PromptTokens))
		if kind.Generates() {
			o.output.Observe(float64(r.CompletionTokens))
		}
	}
	if !r.Streamed || r.FirstToken == 0 {
		return
	}
	o.firstToken.Observe(r.FirstToken.Seconds())
	if r.CompletionTokens > 1 {
		o.perToken.Observe((r.Duration - r.FirstToken).Seconds() / float64(r.CompletionTokens-1))
	}
}
