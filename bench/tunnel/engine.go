package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// chunk is one server-sent event of the size that vLLM sends.
var chunk = []byte(`data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1790000000,` +
	`"model":"bench","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}` + "\n\n")

// cpu returns the CPU time this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// runEngine answers POST /v1/chat/completions with as many chunks as asked,
// says when a request was cancelled, and ends with ctx. It prints its address.
func runEngine(ctx context.Context) error {
	var cancelled sync.Map // request id → time.Time
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		q := r.URL.Query()
		n, _ := strconv.Atoi(q.Get("chunks"))
		every, _ := time.ParseDuration(q.Get("every"))
		if n == 0 {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(chunk[6:])
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		flusher := http.NewResponseController(w)
		var tick *time.Ticker
		if every > 0 {
			tick = time.NewTicker(every)
			defer tick.Stop()
		}
		for range n {
			if tick != nil {
				select {
				case <-tick.C:
				case <-r.Context().Done():
					cancelled.Store(q.Get("id"), time.Now())
					return
				}
			}
			if _, err := w.Write(chunk); err != nil {
				return
			}
			if err := flusher.Flush(); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("GET /cancelled", func(w http.ResponseWriter, r *http.Request) {
		at, ok := cancelled.Load(r.URL.Query().Get("id"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(at)
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return serveUntil(ctx, &http.Server{Handler: mux}, ln)
}

// serveUntil serves ln until ctx or standard input ends: the parent's death
// closes the latter.
func serveUntil(ctx context.Context, s *http.Server, ln net.Listener) error {
	go func() { _, _ = os.Stdin.Read(make([]byte, 1)); _ = s.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(ln); err != http.ErrServerClosed {
		return err
	}
	return nil
}
