package apptest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	piece = `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}` + "\n\n"
	done  = "data: [DONE]\n\n"
)

// served is what an engine says of one request, in its own count.
type served struct {
	prompt, completion int64
	whole              bool // it was about to send the last of it
}

// serveEngine is an engine in a process of its own. What it generates it writes
// down in the ledger, a line per request and one write(2) each, which outlives
// it. Its model is named after the ledger.
func serveEngine(address, ledger string) error {
	book, err := os.OpenFile(ledger, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"object":"list","data":[{"id":%q,"object":"model"}]}`, filepath.Base(ledger))
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { generate(w, r, book) })
	return (&http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Minute}).ListenAndServe()
}

// generate answers a chat request with max_tokens, or as many as its id decides.
func generate(w http.ResponseWriter, r *http.Request, book io.Writer) {
	var q struct {
		Stream bool  `json:"stream"`
		Max    int64 `json:"max_tokens"`
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &q) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := r.Header.Get("X-Request-Id")
	last := int64(0)
	if id != "" {
		last = int64(id[len(id)-1])
	}
	prompt, completion := int64(len(body)), 5+last%20
	if q.Max > 0 {
		completion = q.Max
	}
	note := func(generated int64, how string) { fmt.Fprintf(book, "%s %d %d %s\n", id, prompt, generated, how) }
	usage := fmt.Sprintf(`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, prompt, completion, prompt+completion)
	if !q.Stream {
		note(completion, "whole")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],%s}`, usage)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := range completion {
		if _, err := io.WriteString(w, piece); err != nil || http.NewResponseController(w).Flush() != nil {
			note(n, "cut")
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			note(n+1, "cut")
			return
		}
	}
	note(completion, "whole")
	_, _ = io.WriteString(w, `data: {"choices":[],`+usage+"}\n\n"+done)
}

// readLedger returns what the engines wrote down, by request.
func readLedger(t *testing.T, ledger string) map[string]served {
	t.Helper()
	text, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]served{}
	for line := range strings.Lines(string(text)) {
		var id, how string
		var s served
		if n, err := fmt.Sscanf(line, "%s %d %d %s\n", &id, &s.prompt, &s.completion, &how); n != 4 || err != nil {
			continue // asked without an id: a canary
		}
		s.whole = how == "whole"
		all[id] = s
	}
	return all
}

// lastPort is below those that the kernel gives to connections: a port that is
// free stays free until a process listens there, also after it was killed.
var lastPort atomic.Int32

// freeAddress returns an address of this host at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	lastPort.CompareAndSwap(0, 20000+rand.Int32N(10000))
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", lastPort.Add(1))
		if ln, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(t.Context()), "tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}
