package gateway

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/anthropic"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/responses"
)

// surface is one of the ways in: a path whose requests are sent on. Of most of
// them client and engine speak the same words, and the gateway passes them on.
type surface struct {
	kind openai.Kind // what the engine is asked
	// speak returns a translator for the exchange with an id; nil where none is
	// needed.
	speak func(id string) dialect
	// refuse answers with an error as clients there know it; nil for OpenAI's
	// way.
	refuse func(w http.ResponseWriter, e *openai.Error, requestID string)
	// status returns what an error's status becomes there; nil for the same.
	status func(int) int
	// idHeader is a header that carries the request's id besides our own.
	idHeader string
	// alive is what a stream is sent while it waits; empty for a comment.
	alive string
	// check refuses a request by its head; nil where there is nothing to check.
	check func(h http.Header) *openai.Error
}

// dialect translates, for one exchange, between a client that speaks another
// API and an engine that does not.
type dialect interface {
	// Request returns the body for the engine.
	Request(client []byte) ([]byte, *openai.Error)
	// Answer returns a whole answer of the engine in the client's words.
	Answer(engine []byte) ([]byte, error)
	// Events returns whole events of the engine's stream, [DONE] among them, in
	// the client's words, good until the next call. There may be none to tell;
	// with an error come those before it.
	Events(engine []byte) ([]byte, error)
	// Error returns the event that ends a stream with an error; nothing if it
	// has ended with one already.
	Error(e *openai.Error) []byte
	// Rename has an error about what Request returned name the client's fields.
	Rename(e *openai.Error)
}

// surfaces are the paths that requests are sent on from. Whatever else engines
// serve is none of ours: sounds and pictures have no model in our catalogue.
var surfaces = map[string]*surface{ //nolint:gochecknoglobals // a table
	"/v1/chat/completions":       {kind: openai.Chat},
	"/v1/completions":            {kind: openai.Completions},
	"/v1/embeddings":             {kind: openai.Embeddings},
	"/v1/rerank":                 {kind: openai.Rerank},
	"/v1/score":                  {kind: openai.Score},
	"/v1/tokenize":               {kind: openai.Tokenize},
	"/v1/detokenize":             {kind: openai.Detokenize},
	"/v1/responses":              {kind: openai.Chat, speak: func(id string) dialect { return &responses.Responses{ID: id} }},
	"/v1/responses/input_tokens": {kind: openai.Tokenize, speak: func(string) dialect { return new(responses.Count) }},
	"/v1/messages": {
		kind: openai.Chat, speak: func(id string) dialect { return &anthropic.Messages{ID: id} },
		refuse: anthropic.WriteError, status: anthropic.Status, idHeader: "Request-Id", check: anthropic.CheckVersion,
		alive: anthropic.Ping,
	},
	"/v1/messages/count_tokens": {
		kind: openai.Tokenize, speak: func(string) dialect { return new(anthropic.Count) },
		refuse: anthropic.WriteError, status: anthropic.Status, idHeader: "Request-Id", check: anthropic.CheckVersion,
	},
}

// aside are paths outside /v1 at which vLLM serves the same. Cohere's clients ask for
// /v2/rerank, vLLM's for the others.
var aside = map[string]string{ //nolint:gochecknoglobals,gosec // a table, without secrets
	"/v2/rerank":  "/v1/rerank",
	"/rerank":     "/v1/rerank",
	"/score":      "/v1/score",
	"/tokenize":   "/v1/tokenize",
	"/detokenize": "/v1/detokenize",
}

// Serves reports whether a path is the gateway's, whatever it means there. One
// that begins with two slashes, as when a base URL ends in one, means nothing, but
// its client should be told in words that it reads.
func Serves(path string) bool {
	for strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	return strings.HasPrefix(path, "/v1/") || path == "/v1" || aside[path] != ""
}

// pathList names the paths for people.
var pathList = strings.Join(slices.Sorted(maps.Keys(surfaces)), ", ")

// enginePath returns the path of a kind of request at a server whose base URL
// has this path. vLLM has some beside its /v1.
func enginePath(base string, kind openai.Kind) string {
	root, _ := strings.CutSuffix(base, "/v1")
	switch kind {
	case openai.Chat:
		return base + "/chat/completions"
	case openai.Completions:
		return base + "/completions"
	case openai.Embeddings:
		return base + "/embeddings"
	case openai.Rerank:
		return base + "/rerank"
	case openai.Score:
		return base + "/score"
	case openai.Tokenize:
		return root + "/tokenize"
	case openai.Detokenize:
		return root + "/detokenize"
	case openai.Foreign:
	}
	panic("no engine is asked for this kind")
}

// Refuse answers a request for one of the gateway's paths that is not looked at
// further, in the shape that clients of the path know.
func Refuse(w http.ResponseWriter, r *http.Request, e *openai.Error, requestID string) {
	at := surfaces[r.URL.Path]
	if e.Status == http.StatusMethodNotAllowed {
		allow := http.MethodPost
		if at == nil { // a list of models
			allow = http.MethodGet + ", " + http.MethodHead
		}
		w.Header().Set("Allow", allow)
	}
	switch {
	case at != nil && at.refuse != nil:
		at.refuse(w, e, requestID)
	case at == nil && anthropic.Asks(r.Header):
		anthropic.WriteError(w, e, requestID)
	default:
		e.Write(w, requestID)
	}
}
