package agent

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
)

// passed are the headers of a request that reach the engine. Of an answer, its
// type, its length and Retry-After come back.
var passed = []string{"Accept", "Content-Type", "X-Request-Id", "Traceparent", "Tracestate"}

const (
	// maxRequest bounds a request's body, in bytes; the control plane's own limit
	// is lower.
	maxRequest = 64 << 20
	// patience is with an engine that says nothing. The control plane loses its own
	// long before, and its leaving ends the request.
	patience = time.Hour

	dialTime  = 5 * time.Second
	copySpace = 8 << 10
	keepSpace = 64 << 10 // memory of a longer request is not kept
)

var errTooLong = errors.New("request too long")

// spaces keeps memory for requests and for pieces of answers.
var spaces = sync.Pool{New: func() any { b := make([]byte, copySpace); return &b }}

func keepSpaceOf(b *[]byte) {
	if cap(*b) <= keepSpace {
		spaces.Put(b)
	}
}

// way leads to the engine while it is at one address.
type way struct {
	address string
	server  *upstream.Server
	heads   map[string][]byte // of requests, by path
}

func newWay(address string) *way {
	dial := upstream.TCP(&net.Dialer{Timeout: dialTime}, address, nil)
	w := &way{address: address, server: upstream.New(dial), heads: make(map[string][]byte, len(allowed))}
	for path, method := range allowed {
		w.heads[path] = []byte(method + " " + path + " HTTP/1.1\r\nHost: " + address + "\r\n")
	}
	return w
}

// toEngine returns the way to where the engine is now; nil while it is not
// ready.
func (a *agent) toEngine() *way {
	address := a.engine.Address()
	if address == "" {
		return nil
	}
	old := a.way.Load()
	if old != nil && old.address == address {
		return old
	}
	fresh := newWay(address)
	if old = a.way.Swap(fresh); old != nil {
		old.server.Close()
	}
	return fresh
}

// forward passes the request to the engine and its answer back.
func (a *agent) forward(w http.ResponseWriter, r *http.Request) {
	to := a.toEngine()
	if to == nil {
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusServiceUnavailable, "engine_not_ready", "The engine is not ready. "+a.engine.Status().Reason)
		return
	}
	to.pass(w, r)
}

// pass sends the request to the engine and its answer back, each chunk as it
// comes. The request is read to its end first: an engine that answers before
// would have its answer cut short. An answer that breaks off breaks off here.
func (to *way) pass(w http.ResponseWriter, r *http.Request) {
	res, err := to.ask(w, r)
	switch {
	case errors.Is(err, errTooLong):
		refuse(w, http.StatusRequestEntityTooLarge, "request_too_large", "The request is longer than 64 MiB.")
		return
	case err != nil && r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // whoever asked has gone
	case err != nil:
		refuse(w, http.StatusBadGateway, "engine_broke_off", "The engine ended the connection before it answered.")
		return
	}
	defer res.Close()
	h := w.Header()
	if res.ContentType != "" {
		h.Set("Content-Type", res.ContentType)
	}
	if res.RetryAfter != "" {
		h.Set("Retry-After", res.RetryAfter)
	}
	if res.Length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(res.Length, 10))
	}
	w.WriteHeader(res.Status)
	copyAnswer(w, res)
}

// ask sends the request and returns the head of the engine's answer. It fails
// with errTooLong, with the context's error when whoever asked has gone, and
// with what upstream says of the engine.
func (to *way) ask(w http.ResponseWriter, r *http.Request) (*upstream.Answer, error) {
	space, _ := spaces.Get().(*[]byte) // the pool holds nothing else
	defer keepSpaceOf(space)
	body, err := readBody(w, r, (*space)[:0])
	switch {
	case errors.Is(err, errTooLong):
		return nil, err
	case err != nil:
		panic(http.ErrAbortHandler) // whoever sent half of it has gone
	}
	*space = body[:cap(body)]
	fields := make([]upstream.Field, 0, len(passed))
	for _, name := range passed {
		for _, value := range r.Header[name] {
			fields = append(fields, upstream.Field{Name: name, Value: value})
		}
	}
	return to.server.Do(r.Context(), &upstream.Request{
		Head: to.heads[r.URL.Path], Fields: fields, Body: [][]byte{body}, Patience: patience,
	})
}

// readBody reads the body to its end, into b if that is large enough.
func readBody(w http.ResponseWriter, r *http.Request, b []byte) ([]byte, error) {
	if r.ContentLength > maxRequest {
		return nil, errTooLong
	}
	if r.ContentLength >= 0 {
		b = slices.Grow(b, int(r.ContentLength))[:r.ContentLength]
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return nil, errTooLong
	}
	return b, err
}

// copyAnswer copies the body, and flushes what came when its length is unknown.
func copyAnswer(w http.ResponseWriter, res *upstream.Answer) {
	flusher := http.NewResponseController(w)
	space, _ := spaces.Get().(*[]byte) // the pool holds nothing else
	defer keepSpaceOf(space)
	for {
		n, err := res.Read(*space)
		if n > 0 {
			if _, err := w.Write((*space)[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			if res.Length < 0 && flusher.Flush() != nil {
				panic(http.ErrAbortHandler)
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
