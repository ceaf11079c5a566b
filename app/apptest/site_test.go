package apptest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// process is a child that is killed at the end of the test, if not before.
type process struct {
	*exec.Cmd

	ended chan struct{}
}

// start runs this test binary as the program.
func start(t *testing.T, log string, env []string, args ...string) *process {
	t.Helper()
	said, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	p := &process{exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...), make(chan struct{})}
	p.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/"}, env...)
	p.Stderr = said
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The signal at death is tied to the thread that forked. Left unlocked, it
		// could be taken, and ended, by the next goroutine that locks one.
		runtime.LockOSThread()
		err := p.Start()
		if started <- err; err == nil {
			_ = p.Wait()
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends the process at once, and waits until it has.
func (p *process) kill() {
	_ = p.Process.Kill() // if it has not ended
	<-p.ended
}

// stop asks the process to end and returns its exit code; one that takes half a
// minute more than it may is asked for its goroutines.
func (p *process) stop() int {
	_ = p.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(time.Minute, func() { _ = p.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	<-p.ended
	return p.ProcessState.ExitCode()
}

// site is an installation: a folder, a database, and one serve or two.
type site struct {
	t     *testing.T
	dir   string
	dsn   string
	pool  *pgxpool.Pool
	key   string // of scope inference
	admin string // of scope admin
	model string // what the demo's agent serves
}

// replica is one serve of a site, at addresses of its own that stay the same.
type replica struct {
	*process

	site    *site
	args    []string
	people  string
	metrics string
}

// newSite makes an installation on a database by starting the demo once. With an
// engine's ledger the demo's agent runs such an engine.
func newSite(t *testing.T, dsn, ledger string) (*site, *replica) {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), dsn: dsn}
	var err error
	if s.pool, err = pgxpool.New(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.pool.Close)
	demo := []string{"--demo"}
	if ledger != "" {
		demo = append(demo, "--demo-engine-cmd", os.Args[0]+" engine 127.0.0.1:{port} "+ledger)
	}
	t.Cleanup(s.endAgents)
	r := s.replica("one", demo...)
	r.start()
	env := filepath.Join(s.dir, "one", "demo.env")
	s.within(60*time.Second, "the demo is ready", func() bool { _, err := os.Stat(env); return err == nil })
	text, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		switch value = strings.Trim(value, "'"); name {
		case "OPENAI_API_KEY":
			s.key = value
		case "INVENTIV_API_KEY":
			s.admin = value
		case "OPENAI_MODEL":
			s.model = value
		}
	}
	return s, r
}

// replica returns a serve that does not run yet, with a data folder of its own.
func (s *site) replica(name string, args ...string) *replica {
	s.t.Helper()
	r := &replica{site: s, people: freeAddress(s.t), metrics: freeAddress(s.t)}
	r.args = append([]string{
		"serve", "--data-dir", filepath.Join(s.dir, name), "--master-key-file", filepath.Join(s.dir, "master.key"), "--listen", r.people,
		"--agent-listen", freeAddress(s.t), "--metrics-listen", r.metrics, "--log-format", "json",
	}, args...)
	return r
}

// start starts the serve, again after it has ended.
func (r *replica) start() {
	r.site.t.Helper()
	r.process = start(r.site.t, filepath.Join(r.site.dir, "serve.log"), []string{"INVENTIV_DATABASE_URL=" + r.site.dsn}, r.args...)
}

// ready waits until the serve takes requests for a model.
func (r *replica) ready(model string) {
	r.site.t.Helper()
	r.site.within(60*time.Second, "serve is ready", func() bool {
		status, _ := r.call(http.MethodGet, "/readyz", "", "")
		if status != http.StatusOK {
			return false
		}
		status, body := r.call(http.MethodGet, "/v1/models/"+model, r.site.key, "")
		return status == http.StatusOK && strings.Contains(body, `"state":"ready"`)
	})
}

// answers waits until a request for a model is answered, which leaves a record.
func (r *replica) answers(model string) {
	r.site.t.Helper()
	r.site.within(60*time.Second, "a request is answered", func() bool {
		status, _ := r.call(http.MethodPost, "/v1/chat/completions", r.site.key, chat(model, false, 1))
		return status == http.StatusOK
	})
}

// call sends one request; its status is 0 when there was no answer.
func (r *replica) call(method, path, key, body string) (status int, text string) {
	limit := 15 * time.Second
	if slow {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.site.t.Context()), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.people+path, strings.NewReader(body))
	if err != nil {
		r.site.t.Error(err)
		return 0, ""
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	got, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(got)
}

// addEndpoint makes a model go to a server at an address.
func (r *replica) addEndpoint(name, model, address string) {
	r.site.t.Helper()
	body, err := json.Marshal(map[string]string{"name": name, "model": model, "url": "http://" + address + "/v1"})
	if err != nil {
		r.site.t.Fatal(err)
	}
	if status, text := r.call(http.MethodPost, "/api/v1/endpoints", r.site.admin, string(body)); status != http.StatusCreated {
		r.site.t.Fatalf("add an endpoint: %d %s", status, text)
	}
}

// agents returns the pids of the mock cloud's agents.
func (s *site) agents() []int {
	text, err := os.ReadFile(filepath.Join(s.dir, "one", "mock", "inventory.json"))
	if err != nil {
		return nil
	}
	var pids []int
	for line := range strings.Lines(string(text)) {
		var pid int
		if n, _ := fmt.Sscanf(strings.TrimSpace(line), `"pid": %d`, &pid); n == 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// endAgents kills what outlives a killed serve; their engines end with them.
func (s *site) endAgents() {
	for _, pid := range s.agents() {
		if argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.HasPrefix(argv, []byte(os.Args[0]+"\x00agent")) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// count asks the database for a number.
func (s *site) count(sql string) (n int) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), sql).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// stored waits until each answer that clients had whole is on record; what was
// spooled while the database was away takes a while.
func (s *site) stored(l *load) {
	s.t.Helper()
	s.within(2*time.Minute, "each answer has its record", func() bool {
		return s.count(`SELECT count(*) FROM gateway.usage_records WHERE status = 'completed'`) >= int(l.whole.Load())
	})
}

// within waits for a condition of another process.
func (s *site) within(limit time.Duration, what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("not within %s: %s\n%s", limit, what, s.lastLog())
		}
	}
}

// lastLog returns the end of what serve said, or how it crashed.
func (s *site) lastLog() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "serve.log"))
	for _, crash := range []string{"\npanic: ", "\nfatal error: ", "\nunexpected fault", "\nSIG"} {
		if at := bytes.Index(text, []byte(crash)); at >= 0 {
			return string(text[at:min(len(text), at+6000)])
		}
	}
	return string(text[max(0, len(text)-3000):])
}
