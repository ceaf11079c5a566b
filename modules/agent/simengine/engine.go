// Package simengine is a simulated engine with vLLM's HTTP surface: chat with
// tools, structured answers and reasoning, completions, embeddings, rerank,
// score, tokenize, models, health and metrics. It runs no model. It
// says so in every answer, in the header x-inventiv-engine and in the system
// fingerprint, so that nobody takes its words for a model's.
//
// It exists to show and to test everything around an engine: its pace, its load
// time and its faults are those of a wire.SimSpec.
package simengine

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// Fingerprint is the system_fingerprint of every answer.
const Fingerprint = "inventiv-simulator"

const (
	defaultContext = 32768
	defaultRunning = 256
	maxBody        = 64 << 20
)

// Engine is one simulated engine. It is an http.Handler. Make it with New.
type Engine struct {
	spec    wire.SimSpec
	model   string
	started time.Time
	mux     *http.ServeMux
	slots   chan struct{} // requests that run

	requests atomic.Int64 // inference requests, for the faults
	metrics  metrics
}

// New returns an engine that begins to load now.
func New(spec wire.SimSpec, model string) *Engine {
	if spec.MaxModelLen == 0 {
		spec.MaxModelLen = defaultContext
	}
	if spec.MaxRunning == 0 {
		spec.MaxRunning = defaultRunning
	}
	e := &Engine{
		spec: spec, model: model, started: time.Now(), mux: http.NewServeMux(), slots: make(chan struct{}, spec.MaxRunning),
	}
	e.mux.HandleFunc("GET /health", e.health)
	e.mux.HandleFunc("GET /v1/models", e.models)
	e.mux.HandleFunc("GET /metrics", e.serveMetrics)
	e.mux.HandleFunc("POST /v1/chat/completions", e.inference(chat))
	e.mux.HandleFunc("POST /v1/completions", e.inference(completion))
	e.mux.HandleFunc("POST /v1/embeddings", e.inference(embedding))
	e.mux.HandleFunc("POST /v1/rerank", e.inference(rerank))
	e.mux.HandleFunc("POST /v1/score", e.inference(score))
	e.mux.HandleFunc("POST /tokenize", e.inference(tokenize))
	e.mux.HandleFunc("POST /detokenize", e.inference(detokenize))
	return e
}

// ServeHTTP answers as vLLM does.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Inventiv-Engine", "simulator")
	e.mux.ServeHTTP(w, r)
}

// Failed reports that the engine will never be ready, as its spec wants it.
func (e *Engine) Failed() bool {
	for _, f := range e.spec.Faults {
		if f.Kind == wire.FaultLoad {
			return true
		}
	}
	return false
}

// Ready reports whether the simulated load is over.
func (e *Engine) Ready() bool {
	return !e.Failed() && time.Since(e.started) >= time.Duration(e.spec.LoadMillis)*time.Millisecond
}

func (e *Engine) health(w http.ResponseWriter, _ *http.Request) {
	if !e.Ready() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (e *Engine) models(w http.ResponseWriter, _ *http.Request) {
	if !e.Ready() {
		refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "", "The simulated engine is still loading.")
		return
	}
	answer(w, map[string]any{"object": "list", "data": []any{map[string]any{
		"id": e.model, "object": "model", "created": e.started.Unix(), "owned_by": Fingerprint, "max_model_len": e.spec.MaxModelLen,
	}}})
}

// kind is what a request asks for.
type kind int

const (
	chat kind = iota
	completion
	embedding
	rerank
	score
	tokenize
	detokenize
)

// inference does what all of them have in common: the engine is loaded, the
// request is for its model, a slot is free, and a fault may strike.
func (e *Engine) inference(k kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !e.Ready() {
			refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "", "The simulated engine is still loading.")
			return
		}
		var q request
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&q); err != nil {
			refuse(w, http.StatusBadRequest, "BadRequestError", "", "The body is not the JSON of a request: "+err.Error())
			return
		}
		if q.Model != e.model {
			refuse(w, http.StatusNotFound, "NotFoundError", "model", "The model `"+q.Model+"` does not exist.")
			return
		}
		fault := e.fault()
		switch fault.Kind {
		case wire.FaultError:
			refuse(w, http.StatusInternalServerError, "InternalServerError", "", "The simulator was told to fail.")
			return
		case wire.FaultBusy:
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "RateLimitError", "", "The simulator was told to be busy.")
			return
		case wire.FaultGarbage:
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>The simulator was told to answer this.</html>"))
			return
		case wire.FaultLoad, wire.FaultDie, wire.FaultHang, wire.FaultNoUsage:
		}
		if !e.enter(r.Context()) {
			return
		}
		defer e.leave()
		e.serve(w, r, k, &q, fault)
	}
}

// enter waits for a slot and reports false when the client left first.
func (e *Engine) enter(ctx context.Context) bool {
	e.metrics.waiting.Add(1)
	defer e.metrics.waiting.Add(-1)
	select {
	case e.slots <- struct{}{}:
		e.metrics.running.Add(1)
		return true
	case <-ctx.Done():
		return false
	}
}

func (e *Engine) leave() {
	e.metrics.running.Add(-1)
	<-e.slots
}

// fault returns the misbehaviour of the request that comes now, if any.
func (e *Engine) fault() wire.SimFault {
	n := e.requests.Add(1)
	for _, f := range e.spec.Faults {
		if f.Kind != wire.FaultLoad && n%int64(max(f.Every, 1)) == 0 {
			return f
		}
	}
	return wire.SimFault{}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client left
}

// refuse answers with an error as vLLM and OpenAI do.
func refuse(w http.ResponseWriter, status int, kind, param, message string) {
	var p any
	if param != "" {
		p = param
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client left
		"error": map[string]any{"message": message, "type": kind, "param": p, "code": status},
	})
}
