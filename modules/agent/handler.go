package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// allowed are the engine's routes that may be reached through the tunnel, with
// their method. Nothing else of an engine is ever reached: some of its other
// routes load code, pause it, or answer without asking who asks.
var allowed = map[string]string{
	"/v1/models":           http.MethodGet,
	"/v1/chat/completions": http.MethodPost,
	"/v1/completions":      http.MethodPost,
	"/v1/embeddings":       http.MethodPost,
	"/v1/responses":        http.MethodPost,
	"/v1/messages":         http.MethodPost,
	"/v1/rerank":           http.MethodPost,
	"/v1/score":            http.MethodPost,
	"/tokenize":            http.MethodPost,
	"/detokenize":          http.MethodPost,
}

// local returns the agent's own pages.
func (a *agent) local() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", a.getReady)
	mux.HandleFunc("GET /info", a.getInfo)
	mux.HandleFunc("GET /logs", a.getLogs)
	mux.HandleFunc("GET /metrics", a.getMetrics)
	return mux
}

// remote returns what is answered through the tunnel: the same pages, the
// engine's health and its allowed routes.
func (a *agent) remote() http.Handler {
	pages := http.NewServeMux()
	pages.Handle("/", a.local())
	pages.HandleFunc("GET /health", a.getHealth)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method, ok := allowed[r.URL.Path]
		switch {
		case r.URL.RawPath != "": // an encoded path is never one of ours
			refuse(w, http.StatusNotFound, "not_found", "There is no such route on a node.")
		case !ok:
			pages.ServeHTTP(w, r)
		case r.Method != method:
			w.Header().Set("Allow", method)
			refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "The route takes "+method+".")
		default:
			a.forward(w, r)
		}
	})
}

// refuse answers with an error in OpenAI's shape.
func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // whoever asked has gone
		"error": map[string]any{"message": text, "type": "node_error", "param": nil, "code": code},
	})
}

func (a *agent) getReady(w http.ResponseWriter, _ *http.Request) {
	status := a.engine.Status()
	switch {
	case a.desired() == wire.Drain:
		http.Error(w, "draining", http.StatusServiceUnavailable)
	case status.State != wire.EngineReady:
		http.Error(w, string(status.State)+": "+status.Reason, http.StatusServiceUnavailable)
	default:
		_, _ = io.WriteString(w, "ready\n")
	}
}

// getHealth answers for the engine, of which not every kind has the route.
func (a *agent) getHealth(w http.ResponseWriter, r *http.Request) {
	if err := a.engine.Healthy(r.Context()); err != nil {
		refuse(w, http.StatusServiceUnavailable, "engine_not_ready", "The engine is not ready. "+a.engine.Status().Reason)
	}
}

// info is what /info shows.
type info struct {
	Instance         string            `json:"instance_id"`
	AgentVersion     string            `json:"agent_version"`
	AgentChecksum    string            `json:"agent_checksum"`
	Protocol         int               `json:"protocol"`
	StartedAt        time.Time         `json:"started_at"`
	Desired          wire.Desired      `json:"desired"`
	Links            int               `json:"links"`
	CertificateUntil *time.Time        `json:"certificate_until,omitempty"`
	Engine           wire.EngineStatus `json:"engine"`
	Latest           wire.Heartbeat    `json:"latest_heartbeat"`
}

func (a *agent) getInfo(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	latest := a.latest
	a.mu.Unlock()
	i := info{
		Instance: a.cfg.Instance.String(), AgentVersion: a.cfg.Version, AgentChecksum: a.checksum, Protocol: wire.Protocol,
		StartedAt: a.started.UTC(), Desired: a.desired(), Links: a.links.Links(), Engine: a.engine.Status(), Latest: latest,
	}
	if cert := a.id.certificate(); cert != nil {
		i.CertificateUntil = &cert.Leaf.NotAfter
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(i) // whoever asked has gone
}

// getLogs serves the end of a log: ?source=agent (the events, as JSON lines) or
// engine (what it printed), ?tail= lines (100, at most 5000), and for the events
// ?since= a time (RFC 3339).
func (a *agent) getLogs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n := 100
	if text := q.Get("tail"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > 5000 {
			http.Error(w, "tail must be a number from 1 to 5000", http.StatusBadRequest)
			return
		}
	}
	var since time.Time
	if text := q.Get("since"); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			http.Error(w, "since must be a time such as 2026-11-24T10:00:00Z", http.StatusBadRequest)
			return
		}
	}
	var lines [][]byte
	var err error
	switch source := q.Get("source"); source {
	case "", "agent":
		w.Header().Set("Content-Type", "application/jsonl")
		lines, err = a.events.tail(n, since)
	case "engine":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		lines, err = a.output.Tail(n, nil)
	default:
		http.Error(w, "source must be agent or engine", http.StatusBadRequest)
		return
	}
	if err != nil {
		http.Error(w, "the log cannot be read", http.StatusInternalServerError)
		return
	}
	for _, line := range lines {
		_, _ = w.Write(append(bytes.ToValidUTF8(line, []byte("\uFFFD")), '\n')) // whoever asked has gone
	}
}
