package apptest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// metric reads a counter without labels from a serve's metrics.
func (r *replica) metric(name string) float64 {
	r.site.t.Helper()
	req, err := http.NewRequestWithContext(r.site.t.Context(), http.MethodGet, "http://"+r.metrics+"/metrics", http.NoBody)
	if err != nil {
		r.site.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.site.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				r.site.t.Fatal(err)
			}
			return n
		}
	}
	r.site.t.Fatalf("there is no metric %s", name)
	return 0
}

// whole sends a request and returns its answer, however long that takes.
func (r *replica) whole(body string) (status int, text string) {
	ctx, cancel := context.WithTimeout(r.site.t.Context(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.people+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header = http.Header{"Authorization": {"Bearer " + r.site.key}, "Content-Type": {"application/json"}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(got)
}

// sleepingSite makes an installation whose one deployment has gone to sleep
// because nobody used it, and returns serves that do not run yet. To boot takes
// the machines of its cloud a while.
func sleepingSite(t *testing.T, boot time.Duration, names ...string) (*site, []*replica) {
	t.Helper()
	s, demo := newSite(t, dbtest.URL(t), "")
	if status, text := demo.call(http.MethodPost, "/api/v1/deployments/demo/scale", s.admin, `{"min":0,"max":2,"idle_minutes":1}`); status != http.StatusOK {
		t.Fatalf("scale: %d %s", status, text)
	}
	for _, old := range []string{
		`UPDATE instance.deployments SET used_at = now() - interval '1 hour', due_at = now()`,
		`UPDATE instance.instances SET state_since = now() - interval '1 hour'`,
	} {
		if _, err := s.pool.Exec(t.Context(), old); err != nil {
			t.Fatal(err)
		}
	}
	s.within(60*time.Second, "nothing is billed any more", func() bool {
		return s.count(`SELECT count(*) FROM instance.instances WHERE state <> 'terminated'`) == 0
	})
	if n := s.count(`SELECT count(*) FROM instance.instances WHERE desired_reason = 'idle'`); n != 1 {
		t.Fatalf("%d instances have ended because nobody used them", n)
	}
	if code := demo.stop(); code != 0 {
		t.Fatalf("the demo ended with %d\n%s", code, s.lastLog())
	}
	cloud := filepath.Join(s.dir, "one", "mock")
	knobs := fmt.Sprintf(`{"delay":{"boot_ms":%d}}`, boot.Milliseconds())
	if err := os.WriteFile(filepath.Join(cloud, "mock.json"), []byte(knobs), 0o600); err != nil {
		t.Fatal(err)
	}
	var replicas []*replica
	var agents []string
	for _, name := range names {
		r := s.replica(name, "--providers", "mock", "--mock-dir", cloud)
		replicas, agents = append(replicas, r), append(agents, r.args[slices.Index(r.args, "--agent-listen")+1])
	}
	for _, r := range replicas {
		r.args = append(r.args, "--agent-endpoint", strings.Join(agents, ","))
	}
	return s, replicas
}

// sleeps starts the serve and waits until it knows of the sleeping model.
func (r *replica) sleeps() {
	r.site.t.Helper()
	r.start()
	r.site.within(60*time.Second, "serve is ready", func() bool {
		if status, _ := r.call(http.MethodGet, "/readyz", "", ""); status != http.StatusOK {
			return false
		}
		status, body := r.call(http.MethodGet, "/v1/models/"+r.site.model, r.site.key, "")
		return status == http.StatusOK && strings.Contains(body, `"state":"sleeping"`)
	})
}

// TestWake_requestsOverTwoReplicasStartOneInstance lets a deployment fall asleep
// and then sends requests to it through two serve on one database, all at once.
// Its machine takes so long that streams have to be kept alive.
func TestWake_requestsOverTwoReplicasStartOneInstance(t *testing.T) {
	t.Parallel()
	s, replicas := sleepingSite(t, 7*time.Second, "a", "b")
	for _, r := range replicas {
		r.sleeps()
	}
	clients := 1000
	if slow {
		clients = 100
	}
	var alive atomic.Int64
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			stream := n%4 < 2
			status, text := replicas[n%2].whole(chat(s.model, stream, 3))
			if status != http.StatusOK || !strings.Contains(text, `"choices"`) || stream && !strings.HasSuffix(text, done) {
				t.Errorf("client %d: %d %s", n, status, text)
			}
			if strings.HasPrefix(text, ": waiting") {
				alive.Add(1)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.Log(s.lastLog())
	}
	if int(alive.Load()) != clients/2 {
		t.Errorf("%d of %d streams were kept alive", alive.Load(), clients/2)
	}
	instances := s.count(`SELECT count(*) FROM instance.instances`)
	audits := s.count(`SELECT count(*) FROM auth.audit WHERE action = 'deployment.wake' AND actor LIKE 'key:%' AND actor_name = 'demo'`)
	counted := replicas[0].metric("inventiv_gateway_wakes_total") + replicas[1].metric("inventiv_gateway_wakes_total")
	if instances != 2 || audits != 1 || counted != 1 { // one of them is the demo's
		t.Errorf("%d instances were started, woken %d times by the audit and %v times by the metrics; want once", instances-1, audits, counted)
	}
	s.within(10*time.Second, "every answer is on record", func() bool {
		return s.count(`SELECT count(*) FROM gateway.usage_records WHERE status = 'completed'`) >= clients
	})
}

// TestStop_whoWaitsForAModelAsksElsewhere tells serve to end while a request
// waits for a model that takes long, and sends it again after a restart.
func TestStop_whoWaitsForAModelAsksElsewhere(t *testing.T) {
	t.Parallel()
	s, replicas := sleepingSite(t, 5*time.Second, "a")
	serve := replicas[0]
	serve.sleeps()
	answered := make(chan string, 1)
	go func() {
		status, text := serve.whole(chat(s.model, false, 3))
		answered <- strconv.Itoa(status) + " " + text
	}()
	s.within(10*time.Second, "the model is woken", func() bool {
		return s.count(`SELECT count(*) FROM instance.instances WHERE state <> 'terminated'`) == 1
	})
	told := time.Now()
	if code := serve.stop(); code != 0 || time.Since(told) > 10*time.Second {
		t.Errorf("serve ended with %d after %s\n%s", code, time.Since(told), s.lastLog())
	}
	if got := <-answered; !strings.HasPrefix(got, "503 ") || !strings.Contains(got, `"code":"stopping"`) {
		t.Errorf("who waited got %s", got)
	}
	serve.start()
	s.within(60*time.Second, "serve is ready", func() bool {
		status, _ := serve.call(http.MethodGet, "/readyz", "", "")
		return status == http.StatusOK
	})
	if status, text := serve.whole(chat(s.model, false, 3)); status != http.StatusOK {
		t.Errorf("afterwards: %d %s", status, text)
	}
	if n := s.count(`SELECT count(*) FROM instance.instances`); n != 2 {
		t.Errorf("%d instances were started, want one", n-1)
	}
}
