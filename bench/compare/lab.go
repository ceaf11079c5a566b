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
	"strings"
	"syscall"
	"time"
)

// lab is the set of running processes.
type lab struct {
	loadgen string
	targets []target
	env     []string // demo.env, for the client verbs
	running []*exec.Cmd
}

type target struct {
	name, url, key string
	pid            int
	meter          bool // it stores a usage record per request
}

// start builds the programs and brings up upstream, nginx and gateway.
func start(ctx context.Context, dir string) (_ *lab, err error) {
	l := &lab{loadgen: filepath.Join(dir, "loadgen")}
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
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	upstream := "http://" + ports[0]
	up, err := l.launch(ctx, nil, filepath.Join(dir, "mockupstream"), "-addr", ports[0])
	if err != nil {
		return nil, err
	}
	if err := waitFor(ctx, upstream+"/v1/models", 10*time.Second); err != nil {
		return nil, err
	}
	proxy, err := l.nginx(ctx, dir, ports[1], ports[0])
	if err != nil {
		return nil, err
	}
	gate, key, err := l.gateway(ctx, dir, ports[2:], upstream)
	if err != nil {
		return nil, err
	}
	const path = "/v1/chat/completions"
	l.targets = []target{
		{name: "direct", url: upstream + path, pid: up},
		{name: "nginx", url: "http://" + ports[1] + path, pid: proxy},
		{name: "inventiv", url: "http://" + ports[2] + path, pid: gate, key: key, meter: true},
	}
	return l, nil
}

// nginx starts nginx as a plain streaming proxy: no log, no buffering, pooled
// upstream connections.
func (l *lab) nginx(ctx context.Context, dir, listen, upstream string) (int, error) {
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; worker_processes 2; error_log %[1]s/nginx.log; pid %[1]s/nginx.pid;
events { worker_connections 8192; }
http {
  access_log off; client_max_body_size 64m; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000;
  upstream up { server %[3]s; keepalive 512; keepalive_requests 1000000; }
  server {
    listen %[2]s;
    location / {
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off;
    }
  }
}
`, dir, listen, upstream)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return 0, fmt.Errorf("write nginx.conf: %w", err)
	}
	pid, err := l.launch(ctx, nil, "nginx", "-c", conf, "-p", dir)
	if err != nil {
		return 0, err
	}
	return pid, waitFor(ctx, "http://"+listen+"/v1/models", 10*time.Second)
}

// gateway starts inventiv's demo on addresses of its own and adds the mock
// upstream as an endpoint. It returns the process and an API key.
func (l *lab) gateway(ctx context.Context, dir string, ports []string, upstream string) (int, string, error) {
	data := filepath.Join(dir, "data")
	pid, err := l.launch(ctx, nil, *bin, "serve", "--demo", "--data-dir", data,
		"--listen", ports[0], "--agent-listen", ports[1], "--metrics-listen", ports[2])
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
		if name == "OPENAI_API_KEY" {
			key = value
		}
	}
	if _, err := l.client(ctx, "endpoints", "add", "bench", "--model", "mock", "--url", upstream+"/v1"); err != nil {
		return 0, "", err
	}
	body := `{"model":"mock","messages":[{"role":"user","content":"ready?"}]}`
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
func (l *lab) launch(ctx context.Context, env []string, name string, args ...string) (int, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
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
