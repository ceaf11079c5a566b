package agent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// upstream is an engine that is not ours, with more routes than it should have.
func upstream(t *testing.T) (url string, cancelled <-chan string, hits func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	left := make(chan string, 8)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Method+" "+r.URL.String())
		mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Set-Cookie", "a=b")
		switch r.Header.Get("X-Request-Id") {
		case "stream":
			fmt.Fprint(w, "data: one\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			left <- "stream"
		case "silent":
			<-r.Context().Done()
			left <- "silent"
		case "broken":
			fmt.Fprint(w, "data: half\n\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprintf(w, `{"authorization":%q,"cookie":%q,"id":%q,"trace":%q}`,
				r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("X-Request-Id"), r.Header.Get("Traceparent"))
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, left, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), seen...) }
}

// TestRelayProcess is an exec engine that passes everything on to TEST_RELAY, a
// real process: this test's own binary, started with that variable.
func TestRelayProcess(t *testing.T) {
	t.Parallel()
	target := os.Getenv("TEST_RELAY")
	if target == "" {
		return // only when started as an engine
	}
	err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequestWithContext(r.Context(), r.Method, target+r.URL.String(), r.Body)
		if err != nil {
			return
		}
		out.Header = r.Header
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		buf := make([]byte, 1024)
		for {
			n, err := resp.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = http.NewResponseController(w).Flush()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}))
	t.Fatal(err)
}

func TestTunnel_reachesOnlyWhatIsAllowed_B18(t *testing.T) {
	t.Parallel()
	url, cancelled, hits := upstream(t)
	b := setup(t, wire.EngineSpec{
		Kind: wire.EngineExec, Model: "m", Command: []string{os.Args[0], "-test.run=^TestRelayProcess$", "-test.v"},
		Env: map[string]string{"TEST_RELAY": url, "PORT": wire.PortMark},
	})
	b.start()
	b.plane.Until(t, "ready", ready)
	b.linked(2)
	before := len(hits())
	for path, want := range map[string]int{
		"/v1/invocations": 404, "/invocations": 404, "/pause": 404, "/v1//chat/completions": 404, "/v1/%63hat/completions": 404,
		"/v1/chat/completions/": 404, "/v1/../pause": 404, "/v1/load_lora_adapter": 404, "/v1": 404, "/": 404,
		"/collective_rpc": 404, "/v1/chat/completions;x": 404, "/V1/models": 404,
	} {
		resp, err := b.ask(t.Context(), http.MethodPost, path, "{}")
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want && resp.StatusCode != http.StatusMethodNotAllowed && resp.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if status, body := b.get("/health"); status != http.StatusOK || body != "" {
		t.Errorf("/health = %d %q", status, body)
	}
	if status, _ := b.get("/v1/chat/completions"); status != http.StatusMethodNotAllowed {
		t.Errorf("GET of a POST route = %d", status)
	}
	for _, hit := range hits()[before:] {
		if hit != "GET /health" && hit != "GET /metrics" { // the agent's own questions
			t.Errorf("the engine was reached by %s", hit)
		}
	}

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://node/v1/completions?secret=1", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer x"}, "Cookie": {"a=b"}, "X-Request-Id": {"req-1"}, "Traceparent": {"00-aa-bb-01"}}
	resp, err := b.plane.Hub.Transport(b.cfg.Instance).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || string(body) != `{"authorization":"","cookie":"","id":"req-1","trace":"00-aa-bb-01"}` || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("through the node: %s, %v, %v", body, resp.Header, err)
	}
	if last := hits()[len(hits())-1]; strings.Contains(last, "secret") {
		t.Errorf("the query reached the engine: %s", last)
	}

	for _, id := range []string{"stream", "silent"} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			r := r.Clone(ctx)
			r.Body, r.Header = io.NopCloser(strings.NewReader("{}")), http.Header{"X-Request-Id": {id}}
			resp, err := b.plane.Hub.Transport(b.cfg.Instance).RoundTrip(r)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}()
		for n := len(hits()); len(hits()) == n; {
			<-time.After(time.Millisecond)
		}
		start := time.Now()
		cancel()
		select {
		case <-cancelled:
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s: the cancel took %s", id, took)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the cancel never reached the engine", id)
		}
		<-asked
	}

	broken := r.Clone(t.Context())
	broken.Body, broken.Header = io.NopCloser(strings.NewReader("{}")), http.Header{"X-Request-Id": {"broken"}}
	resp, err = b.plane.Hub.Transport(b.cfg.Instance).RoundTrip(broken)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(bufio.NewReader(resp.Body))
	_ = resp.Body.Close()
	if err == nil || string(text) != "data: half\n\n" {
		t.Errorf("an answer that breaks off ends with %q, %v", text, err)
	}
}

func TestLogs_tellWhatHappened(t *testing.T) {
	t.Parallel()
	b := setup(t, simulator)
	b.start()
	b.plane.Until(t, "ready", ready)
	b.linked(2)
	status, text := b.get("/logs?source=agent&tail=50")
	kinds := map[string]bool{}
	for line := range strings.Lines(text) {
		var e struct{ Kind, Text, Time, Instance string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Text == "" || e.Instance != b.cfg.Instance.String() {
			t.Errorf("event %q: %v", line, err)
		}
		kinds[e.Kind] = true
	}
	for _, kind := range []string{"agent_started", "joined", "engine_loading", "engine_ready", "link_up", "desired_run"} {
		if status != http.StatusOK || !kinds[kind] {
			t.Errorf("%d: no event %s in\n%s", status, kind, text)
		}
	}
	if _, none := b.get("/logs?since=2099-01-01T00:00:00Z"); none != "" {
		t.Errorf("events of the future: %s", none)
	}
	for _, query := range []string{"tail=0", "tail=x", "tail=100000", "since=yesterday", "source=passwd"} {
		if status, _ := b.get("/logs?" + query); status != http.StatusBadRequest {
			t.Errorf("/logs?%s = %d, want 400", query, status)
		}
	}
	if status, _ := b.get("/logs?source=engine"); status != http.StatusOK {
		t.Errorf("/logs?source=engine = %d", status)
	}
}
