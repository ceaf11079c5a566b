package apptest_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is clients that ask again and again, half of them for streams, and what
// they have seen.
type load struct {
	stop    context.CancelFunc
	clients sync.WaitGroup
	http    *http.Client

	sent  atomic.Int64
	whole atomic.Int64

	mu       sync.Mutex
	answered map[string]bool // requests whose answer was whole
	failures map[string]int  // by what the client saw
}

// newLoad starts as many clients, each of which waits a while after an answer;
// address says which server to ask for the nth time, and each model gets its
// share.
func newLoad(t *testing.T, s *site, clients int, pause time.Duration, address func(n int64) string, models ...string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &load{
		stop: stop, answered: map[string]bool{}, failures: map[string]int{},
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: time.Minute},
	}
	for i := range clients {
		l.clients.Go(func() {
			for ctx.Err() == nil {
				id, failure := l.ask(ctx, s.key, address(l.sent.Add(1)), chat(models[i/2%len(models)], i%2 == 0, 0))
				l.note(id, failure)
				rest := pause
				if failure != "" {
					rest = max(pause, 20*time.Millisecond) // as clients do
				}
				select {
				case <-ctx.Done():
				case <-time.After(rest):
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// end lets the clients finish what they have begun.
func (l *load) end() {
	l.stop()
	l.clients.Wait()
	l.http.CloseIdleConnections()
}

func (l *load) note(id, failure string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if failure != "" {
		l.failures[failure]++
		return
	}
	l.whole.Add(1)
	if l.answered[id] {
		l.failures["two answers with the id "+id]++
	}
	l.answered[id] = true
}

// seen returns what clients saw besides whole answers.
func (l *load) seen() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.failures)
}

// chat is the body of a request; without a limit when tokens is 0.
func chat(model string, stream bool, tokens int) string {
	limit := ""
	if tokens > 0 {
		limit = fmt.Sprintf(`"max_tokens":%d,`, tokens)
	}
	return fmt.Sprintf(`{"model":%q,"stream":%v,%s"messages":[{"role":"user","content":"hello"}]}`, model, stream, limit)
}

// ask sends one request, to its end also when the load ends, and returns its id
// and why its answer was not whole.
func (l *load) ask(ctx context.Context, key, address, body string) (id, failure string) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, "http://"+address+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return "", err.Error()
	}
	req.Header = http.Header{"Authorization": {"Bearer " + key}, "Content-Type": {"application/json"}}
	res, err := l.http.Do(req)
	if err != nil {
		switch text := err.Error(); {
		case strings.Contains(text, "connection refused"):
			return "", "refused"
		default:
			return "", "no answer"
		}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	id = res.Header.Get("X-Request-Id")
	stream := strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
	switch {
	case res.StatusCode != http.StatusOK:
		_, code, _ := strings.Cut(string(text), `"code":"`)
		code, _, _ = strings.Cut(code, `"`)
		return id, fmt.Sprintf("%d %s", res.StatusCode, code)
	case stream && strings.HasSuffix(string(text), done):
		return id, "" // whole, whatever the connection did then
	case stream && strings.Contains(string(text), `data: {"error":`):
		return id, "a stream with an error"
	case stream:
		return id, "a stream without an end"
	case err != nil:
		return id, "an answer cut off"
	}
	return id, ""
}
