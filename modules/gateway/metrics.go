package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// metrics are the gateway's figures. Their labels are few and bounded: paths,
// status codes, codes of ours; never a key, a person or a text.
type metrics struct {
	requests   *prometheus.CounterVec // path, status, code
	refusals   *prometheus.CounterVec // code
	prompt     prometheus.Counter     // tokens
	completion prometheus.Counter
	answers    map[string]answers // by path
	firstToken prometheus.Histogram
	inFlight   prometheus.Gauge
	retries    prometheus.Counter
	fallbacks  prometheus.Counter
	wakes      prometheus.Counter
	ejections  *prometheus.CounterVec // cause
	setAside   prometheus.Counter
	forgotten  prometheus.Counter
	overhead   prometheus.Histogram
	genAI      *genAI
}

// answers are the figures of a path that most requests need, found once.
type answers struct {
	good     prometheus.Counter // of requests
	duration prometheus.Observer
}

func newMetrics(registerer prometheus.Registerer, s *Service) *metrics {
	tokens := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "inventiv_gateway_tokens_total", Help: "Tokens metered.",
	}, []string{"direction"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "inventiv_gateway_request_duration_seconds", Help: "From the head of a request to its final record.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 13),
	}, []string{"path"})
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inventiv_gateway_requests_total", Help: "Requests that were accepted and have ended.",
		}, []string{"path", "status", "code"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inventiv_gateway_errors_total", Help: "Error answers to callers whose key was good.",
		}, []string{"code"}),
		firstToken: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "inventiv_gateway_time_to_first_token_seconds", Help: "From the head of a streamed request to its first token.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 13),
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "inventiv_gateway_requests_in_flight", Help: "Requests that were accepted and have not ended.",
		}),
		fallbacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inventiv_gateway_fallbacks_total", Help: "Requests that another model than the one asked for was given.",
		}),
		wakes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inventiv_gateway_wakes_total", Help: "Models that were asleep and that this process has had started for a request.",
		}),
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inventiv_gateway_ejections_total", Help: "Replicas that were set aside because they failed.",
		}, []string{"cause"}),
		setAside: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inventiv_gateway_usage_set_aside_total", Help: "Usage records that the database refuses: they are kept in the spool's quarantine.",
		}),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inventiv_gateway_usage_forgotten_total",
			Help: "Times that the database lacked usage that it had taken, as after a failover: what was kept of it was delivered again.",
		}),
		overhead: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "inventiv_gateway_overhead_seconds",
			Help:    "From a request's last byte until it is sent on, without waits for room or a model to wake, and of an answer that is no stream from its last byte until it is sent.",
			Buckets: prometheus.ExponentialBuckets(20e-6, 2, 16),
		}),
		genAI:  newGenAI(),
		prompt: tokens.WithLabelValues("prompt"), completion: tokens.WithLabelValues("completion"), answers: map[string]answers{},
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inventiv_gateway_retries_total", Help: "Requests that were sent to a second server.",
		}),
	}
	for path := range surfaces {
		m.answers[path] = answers{good: m.requests.WithLabelValues(path, strconv.Itoa(http.StatusOK), ""), duration: duration.WithLabelValues(path)}
	}
	if registerer != nil {
		registerer.MustRegister(m.ejections, m.fallbacks, m.wakes, newStandings(s))
		registerer.MustRegister(m.requests, m.refusals, tokens, duration, m.firstToken, m.inFlight, m.retries, m.setAside, m.forgotten, m.overhead, m.genAI,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "inventiv_gateway_spool_bytes", Help: "Bytes in the usage spool that are not stored yet.",
			}, func() float64 { return float64(s.spool.Depth().Waiting) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "inventiv_gateway_spool_kept_bytes", Help: "Bytes in the usage spool that are stored and kept for a minute, in case the database loses them.",
			}, func() float64 { return float64(s.spool.Depth().Kept) }),
			prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "inventiv_gateway_spool_bad_bytes_total", Help: "Bytes in the usage spool that were no record, at the start and since: a copy of their segment is in the quarantine.",
			}, func() float64 { return float64(s.spool.BadBytes()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "inventiv_gateway_body_bytes", Help: "Bytes of requests and answers held in memory.",
			}, func() float64 { return float64(s.held.Load()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "inventiv_gateway_requests_waiting", Help: "Requests that wait for room at a replica.",
			}, s.waiting))
	}
	return m
}

func (m *metrics) refused(code string) { m.refusals.WithLabelValues(code).Inc() }

// ended counts an exchange by its final record. overhead is what of its time was
// ours; negative if it never got so far.
func (m *metrics) ended(r *spool.Record, kind openai.Kind, overhead time.Duration) {
	of := m.answers[r.Path]
	if r.HTTPStatus == http.StatusOK && r.Error == "" {
		of.good.Inc()
	} else {
		m.requests.WithLabelValues(r.Path, strconv.Itoa(r.HTTPStatus), r.Error).Inc()
	}
	m.prompt.Add(float64(r.PromptTokens))
	m.completion.Add(float64(r.CompletionTokens))
	of.duration.Observe(r.Duration.Seconds())
	if r.Streamed && r.FirstToken > 0 {
		m.firstToken.Observe(r.FirstToken.Seconds())
	}
	if overhead >= 0 {
		m.overhead.Observe(overhead.Seconds())
	}
	m.genAI.ended(r, kind)
}
