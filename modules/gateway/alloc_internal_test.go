//go:build !race

package gateway

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// committed is what a request may allocate in the gateway: 15 % more and the
// test fails. The figures are those of the run that last changed them; a lower
// one is worth committing.
var committed = map[string]struct{ allocations, bytes float64 }{
	"chat":   {15, 1314},
	"stream": {16, 1370}, // of 200 chunks: none of them may allocate
}

// TestServe_allocations is not run under the race detector, which makes pools
// forget.
func TestServe_allocations(t *testing.T) { //nolint:paralleltest // it counts what the whole process allocates
	for name, load := range loads() {
		bed, w := serving(t, load.engine), &sink{header: http.Header{}}
		body := strings.NewReader(load.body)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"X-Api-Key": {goodKey}, "Content-Type": {"application/json"}}
		one := func() {
			body.Reset(load.body)
			clear(w.header)
			bed.ServeHTTP(w, req)
		}
		const runs = 2000
		defer debug.SetGCPercent(debug.SetGCPercent(-1)) // pools stay
		for range 100 {
			one()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			one()
		}
		runtime.ReadMemStats(&after)
		allocations, bytes := float64(after.Mallocs-before.Mallocs)/runs, float64(after.TotalAlloc-before.TotalAlloc)/runs
		t.Logf("%s: %.1f allocations, %.0f bytes a request", name, allocations, bytes)
		if want := committed[name]; allocations > 1.15*want.allocations || bytes > 1.15*want.bytes {
			t.Errorf("%s: %.1f allocations and %.0f bytes a request; committed are %.0f and %.0f", name, allocations, bytes, want.allocations, want.bytes)
		}
	}
}
