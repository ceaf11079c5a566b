package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// canned is a connection to an engine without a network: it gives the same
// answer to every request.
type canned struct {
	net.Conn

	answer string
	at     int
}

func cannedAnswer(contentType, body string) *canned {
	return &canned{answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)}
}

func (c *canned) Read(p []byte) (int, error) {
	n := copy(p, c.answer[c.at:])
	if c.at += n; c.at == len(c.answer) {
		c.at = 0
	}
	return n, nil
}

func (c *canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }
func (c *canned) Close() error                     { return nil }
func (c *canned) Usable() bool                     { return true }

// sink is a client that takes everything and keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      {}

// load is what a gateway without a network is measured with.
type load struct {
	engine *canned
	body   string
	pieces int
}

func loads() map[string]load {
	const chunks = 200
	return map[string]load{
		"chat":   {cannedAnswer("application/json", wholeAnswer), chatBody(""), 1},
		"stream": {cannedAnswer("text/event-stream", strings.Repeat(piece, chunks)+"data: [DONE]\n\n"), chatBody(`"stream":true,`), chunks},
	}
}

// serving is a gateway with one route, to an engine.
func serving(t testing.TB, engine *canned) *bed {
	t.Helper()
	b := newBed(t, nil)
	way := &table{routes: map[routeKey]*route{}, lists: map[uuid.UUID][]*route{}, targets: map[uuid.UUID]*target{}, loaded: true}
	to := &target{
		id: uuid.New(), model: model, replica: balance.NewReplica(nil),
		server: upstream.New(func(context.Context) (upstream.Conn, error) { return engine, nil }),
	}
	to.setHeads("instance", "/v1", "")
	way.add(b.organisation, to)
	b.watch(t.Context(), way, 0)
	b.table.Store(way)
	return b
}

// BenchmarkServe is what a request costs in the gateway alone: no network, but
// keys, routes, both records and metrics.
func BenchmarkServe(b *testing.B) {
	for name, load := range loads() {
		b.Run(name, func(b *testing.B) {
			bed, w := serving(b, load.engine), &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(load.body))
				req.Header = http.Header{"X-Api-Key": {goodKey}, "Content-Type": {"application/json"}}
				bed.ServeHTTP(w, req)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(load.pieces), "ns/piece")
		})
	}
}
