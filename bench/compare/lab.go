package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lab is the set of running processes.
type lab struct {
	loadgen, mock string
	targets       []target
	metrics       string   // the gateway's address for operators
	tunnelled     string   // the model that is served through an agent
	agent         int      // the agent's process
	env           []string // demo.env, for the client verbs
	running       []*exec.Cmd
}

type target struct {
	name  string
	urls  map[string]string // by model
	key   string
	pid   int
	meter bool // it stores a usage record per request
}

// upstreams are the mock servers, by the model that the gateway knows each by.
var upstreams = []struct {
	model string
	args  []string
}{
	{"plain", nil},
	{"paced", []string{"-chunks", "50", "-delay", "20ms"}},
	{"slow", []string{"-chunks", "10", "-delay", "1s"}},
}

// start builds the programs and brings up upstreams, nginx and gateway.
func start(ctx context.Context, dir string) (_ *lab, err error) {
	l := &lab{loadgen: filepath.Join(dir, "loadgen"), mock: filepath.Join(dir, "mockupstream")}
	defer func() {
		if err != nil {
			l.stop()
		}
	}()
	for _, name := range []string{"loadgen", "mockupstream"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), "./bench/"+name)
		if text, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
	}
	ports, err := freePorts(3 + 2*len(upstreams))
	if err != nil {
		return nil, err
	}
	direct := target{name: "direct", urls: map[string]string{}}
	proxy := target{name: "nginx", urls: map[string]string{}}
	gate := target{name: "inventiv", urls: map[string]string{}, meter: true}
	var servers []string
	for i, u := range upstreams {
		up, front := ports[3+2*i], ports[4+2*i]
		pid, err := l.launch(ctx, l.mock, append([]string{"-addr", up}, u.args...)...)
		if err != nil {
			return nil, err
		}
		if err := waitFor(ctx, "http://"+up+"/v1/models", 10*time.Second); err != nil {
			return nil, err
		}
		if i == 0 {
			direct.pid = pid
		}
		direct.urls[u.model], proxy.urls[u.model], gate.urls[u.model] = "http://"+up, "http://"+front, "http://"+ports[0]
		servers = append(servers, fmt.Sprintf(`
  upstream up%[1]d { server %[2]s; keepalive 512; keepalive_requests 1000000; }
  server {
    listen %[3]s backlog=8192;
    location / {
      proxy_pass http://up%[1]d; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off;
    }
  }`, i, up, front))
	}
	if proxy.pid, err = l.nginx(ctx, dir, strings.Join(servers, "\n")); err != nil {
		return nil, err
	}
	if err := waitFor(ctx, proxy.urls["plain"]+"/v1/models", 10*time.Second); err != nil {
		return nil, err
	}
	if gate.pid, gate.key, err = l.gateway(ctx, dir, ports[:3], direct.urls); err != nil {
		return nil, err
	}
	l.metrics = ports[2]
	gate.urls[l.tunnelled] = "http://" + ports[0]
	l.targets = []target{direct, proxy, gate}
	return l, nil
}

// nginx starts nginx as a plain streaming proxy: no log, no buffering, pooled
// upstream connections.
func (l *lab) nginx(ctx context.Context, dir, servers string) (int, error) {
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; worker_processes 2; worker_rlimit_nofile 65536; error_log %[1]s/nginx.log; pid %[1]s/nginx.pid;
events { worker_connections 16384; }
http {
  access_log off; client_max_body_size 64m; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000;
%[2]s
}
`, dir, servers)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return 0, fmt.Errorf("write nginx.conf: %w", err)
	}
	return l.launch(ctx, "nginx", "-c", conf, "-p", dir)
}

// gateway starts inventiv's demo on addresses of its own, with a mock upstream
// as its agent's engine, and adds the others as endpoints. It returns the
// process and an API key.
func (l *lab) gateway(ctx context.Context, dir string, ports []string, endpoints map[string]string) (int, string, error) {
	data := filepath.Join(dir, "data")
	pid, err := l.launch(ctx, *bin, "serve", "--demo", "--data-dir", data,
		"--listen", ports[0], "--agent-listen", ports[1], "--metrics-listen", ports[2],
		"--demo-engine-cmd", l.mock+" -addr 127.0.0.1:{port}")
	if err != nil {
		return 0, "", err
	}
	var env []byte
	for deadline := time.Now().Add(60 * time.Second); ; {
		if env, err = os.ReadFile(filepath.Join(data, "demo.env")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return 0, "", errors.New("the demo did not become ready in 60 s")
		}
		time.Sleep(100 * time.Millisecond)
	}
	key := ""
	for line := range strings.Lines(string(env)) {
		pair := strings.TrimPrefix(strings.TrimSpace(line), "export ")
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			continue
		}
		value = strings.Trim(value, `'"`)
		l.env = append(l.env, name+"="+value)
		switch name {
		case "OPENAI_API_KEY":
			key = value
		case "OPENAI_MODEL":
			l.tunnelled = value
		}
	}
	if l.agent, err = childOf(pid, "agent"); err != nil {
		return 0, "", err
	}
	for model, url := range endpoints {
		if _, err := l.client(ctx, "endpoints", "add", "bench-"+model, "--model", model, "--url", url+"/v1"); err != nil {
			return 0, "", err
		}
	}
	body := `{"model":"slow","messages":[{"role":"user","content":"ready?"}]}`
	for deadline := time.Now().Add(10 * time.Second); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+ports[0]+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			return 0, "", fmt.Errorf("make a request: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return pid, key, nil
			}
		}
		if time.Now().After(deadline) {
			return 0, "", errors.New("the gateway did not route to the endpoint in 10 s")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// client runs a client verb of inventiv against the demo.
func (l *lab) client(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, *bin, args...)
	cmd.Env = append(os.Environ(), l.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("inventiv %s: %w: %s", args[0], err, stderr.String())
	}
	return text, nil
}

// stored returns how many usage records t has in its database.
func (l *lab) stored(ctx context.Context, t target) (int, error) {
	if !t.meter {
		return 0, nil
	}
	text, err := l.client(ctx, "usage", "summary", "-o", "json")
	if err != nil {
		return 0, err
	}
	var sum struct {
		Requests int `json:"requests"`
	}
	if err := json.Unmarshal(text, &sum); err != nil {
		return 0, fmt.Errorf("read usage summary: %w", err)
	}
	return sum.Requests, nil
}

// launch starts a process that ends with us.
func (l *lab) launch(ctx context.Context, name string, args ...string) (int, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", name, err)
	}
	l.running = append(l.running, cmd)
	return cmd.Process.Pid, nil
}

// stop ends every process and waits for it, the last started first.
func (l *lab) stop() {
	for _, cmd := range slices.Backward(l.running) {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	l.running = nil
}

// childOf returns the child of a process that runs a command of inventiv.
func childOf(pid int, command string) (int, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for child := range strings.FieldsSeq(string(children)) {
			line, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if words := strings.Split(string(line), "\x00"); len(words) > 1 && words[1] == command {
				return strconv.Atoi(child)
			}
		}
	}
	return 0, fmt.Errorf("process %d runs no %s", pid, command)
}

// freePorts returns n loopback addresses that nobody listens on.
func freePorts(n int) ([]string, error) {
	var free []string
	var lc net.ListenConfig
	for range n {
		ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer ln.Close()
		free = append(free, ln.Addr().String())
	}
	return free, nil
}

func waitFor(ctx context.Context, url string, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("make a request: %w", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			return res.Body.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody answers at %s: %w", url, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
