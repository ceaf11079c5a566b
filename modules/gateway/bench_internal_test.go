package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// canned is an engine without a network.
type canned struct{ contentType, body string }

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {c.contentType}}, ContentLength: int64(len(c.body)),
		Body: io.NopCloser(strings.NewReader(c.body)), Request: r,
	}, nil
}

// sink is a client that takes everything and keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      {}

// BenchmarkServe is what a request costs in the gateway alone: no network, but
// keys, routes, both records and metrics.
func BenchmarkServe(b *testing.B) {
	const chunks = 200
	for name, bb := range map[string]struct {
		engine canned
		body   string
		pieces int
	}{
		"chat":   {canned{"application/json", wholeAnswer}, chatBody(""), 1},
		"stream": {canned{"text/event-stream", strings.Repeat(piece, chunks) + "data: [DONE]\n\n"}, chatBody(`"stream":true,`), chunks},
	} {
		b.Run(name, func(b *testing.B) {
			bed := newBed(b, nil)
			t := &table{routes: map[routeKey]*route{}, lists: map[uuid.UUID][]*route{}, targets: map[uuid.UUID]*target{}, loaded: true}
			to := &target{id: uuid.New(), transport: bb.engine, header: plainHeader()}
			if err := to.at("http://instance.internal/v1"); err != nil {
				b.Fatal(err)
			}
			t.add(&table{}, bed.organisation, model, to)
			bed.table.Store(t)
			w := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(bb.body))
				req.Header = http.Header{"X-Api-Key": {goodKey}, "Content-Type": {"application/json"}}
				bed.ServeHTTP(w, req)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bb.pieces), "ns/piece")
		})
	}
}
