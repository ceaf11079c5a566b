package gateway

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// flow is what a client is sent, piece by piece.
type flow struct {
	header http.Header
	status int
	pieces []string
	at     []time.Duration
	from   time.Time
	broken bool // the client takes nothing any more
}

func (f *flow) Header() http.Header              { return f.header }
func (f *flow) WriteHeader(status int)           { f.status = status }
func (f *flow) SetWriteDeadline(time.Time) error { return nil }
func (f *flow) SetReadDeadline(time.Time) error  { return nil }
func (f *flow) FlushError() error                { return nil }
func (f *flow) Write(p []byte) (int, error) {
	if f.broken {
		return 0, errors.New("broken pipe")
	}
	f.pieces, f.at = append(f.pieces, string(p)), append(f.at, time.Since(f.from))
	return len(p), nil
}

// TestWake_streamsAreKeptAlive looks at what clients of each API are sent while a
// model wakes that never does. There is no database and no network: time is
// played.
func TestWake_streamsAreKeptAlive(t *testing.T) {
	t.Parallel()
	const ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
	for path, c := range map[string]struct{ body, alive string }{
		"/v1/chat/completions": {chatBody(`"stream":true,`), ": waiting for a replica to start\n"},
		"/v1/responses":        {`{"model":"` + model + `","stream":true,"input":"hello"}`, ": waiting for a replica to start\n"},
		"/v1/messages":         {`{"model":"` + model + `","stream":true,"max_tokens":5,"messages":[{"role":"user","content":"hello"}]}`, ping},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			synctest.Test(t, func(t *testing.T) {
				f := b.whileWaking(t, path, c.body, 36*time.Second, &flow{})
				if f.status != 0 && f.status != http.StatusOK || f.header.Get("Content-Type") != "text/event-stream" || f.header.Get("X-Request-Id") == "" {
					t.Fatalf("got %d %v", f.status, f.header)
				}
				for n, want := range []time.Duration{5 * time.Second, 15 * time.Second, 25 * time.Second, 35 * time.Second} {
					if n >= len(f.pieces) || f.pieces[n] != c.alive || f.at[n] != want {
						t.Fatalf("beat %d: %q at %v", n, f.pieces, f.at)
					}
				}
				end := f.pieces[len(f.pieces)-1]
				if len(f.pieces) != 5 || f.at[4] != 36*time.Second || !strings.Contains(end, "is being woken") || strings.Contains(end, "[DONE]") {
					t.Errorf("the end: %q at %v", f.pieces[4:], f.at)
				}
				checkEvents(t, strings.Join(f.pieces, ""))
			})
		})
	}
}

// checkEvents reads events as a client does: comments are left out, and each
// event has data that is JSON.
func checkEvents(t *testing.T, all string) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(all))
	data, some := "", false
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, ":"), strings.HasPrefix(line, "event: "):
		case strings.HasPrefix(line, "data: "):
			data, some = strings.TrimPrefix(line, "data: "), true
		case line == "":
			if !some || !json.Valid([]byte(data)) {
				t.Errorf("an event has the data %q", data)
			}
			some = false
		default:
			t.Errorf("%q is no line of an event", line)
		}
	}
}

// whileWaking sends a request to a model that never wakes, in played time.
func (b *bed) whileWaking(t *testing.T, path, body string, patience time.Duration, f *flow) *flow {
	t.Helper()
	b.limits.wakeWait = patience
	r := &route{model: model, queue: &queue{}, sleeping: Sleeping{State: Waking}}
	at := &table{routes: map[routeKey]*route{{b.organisation, model}: r}, targets: map[uuid.UUID]*target{}, loaded: true}
	b.table.Store(at)
	b.setQueues(at, at)
	f.header, f.from = http.Header{}, time.Now()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", goodKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	b.ServeHTTP(f, req)
	if r.queue.Busy() != 0 || r.queue.Waiting() != 0 {
		t.Error("a place is not given back")
	}
	return f
}

func TestWake_aStreamIsNotBegunForAShortWaitOrAWholeAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body     string
		patience time.Duration
	}{
		"a short wait":   {chatBody(`"stream":true,`), 4 * time.Second},
		"a whole answer": {chatBody(""), 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			synctest.Test(t, func(t *testing.T) {
				f := b.whileWaking(t, "/v1/chat/completions", c.body, c.patience, &flow{})
				if f.status != http.StatusServiceUnavailable || f.header.Get("Retry-After") != strconv.Itoa(int(unknownWaking.Seconds())) || len(f.pieces) != 1 {
					t.Errorf("got %d %v %q", f.status, f.header, f.pieces)
				}
			})
		})
	}
}

func TestWake_aClientThatTakesNothingIsLeft(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	synctest.Test(t, func(t *testing.T) {
		f := b.whileWaking(t, "/v1/chat/completions", chatBody(`"stream":true,`), 10*time.Minute, &flow{broken: true})
		if took := time.Since(f.from); took != 5*time.Second || len(f.pieces) != 0 {
			t.Errorf("left after %v", took)
		}
	})
}
