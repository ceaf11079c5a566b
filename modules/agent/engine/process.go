package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/journal"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// stopGrace is how long a process has after SIGTERM before it is killed.
const stopGrace = 10 * time.Second

// process is an engine that is a command.
type process struct {
	at   string
	pid  int
	gone chan struct{}
	end  error // of the command; written before gone is closed

	mu         sync.Mutex
	last       string // its last line
	complained string // its last line that sounds like an error
}

// startProcess starts spec's command in a process group of its own; it gets what
// is fit for it of the variables inherit.
func startProcess(spec wire.EngineSpec, folder string, inherit []string, output *journal.Journal) (running, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	fill := strings.NewReplacer(wire.PortMark, strconv.Itoa(port))
	args := make([]string, len(spec.Command))
	for i, arg := range spec.Command {
		args[i] = fill.Replace(arg)
	}
	p := &process{at: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), gone: make(chan struct{})}
	lines := journal.NewLines(func(line []byte) {
		p.heard(line)
		_ = output.Add(line) // a full disk shall not stop the engine
	})
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // stop ends it, kindly first
	cmd.Dir = folder
	cmd.Env = environment(inherit, spec.Env, fill)
	cmd.Stdout, cmd.Stderr = lines, lines
	cmd.WaitDelay = 2 * time.Second // a grandchild may keep the pipe open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	// Pdeathsig is tied to the thread that forked: it has to live as long as
	// the process does.
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.end = cmd.Wait()
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // whatever it left behind
		_ = lines.Close()
		close(p.gone)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// freePort returns a port of 127.0.0.1 that nobody listens on at this moment.
func freePort() (int, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0") //nolint:forbidigo // listening does not wait
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	tcp, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("find a free port: not a TCP address")
	}
	return tcp.Port, nil
}

// inherited are the variables that an engine gets from the agent's own
// environment, which also holds what is none of its business.
var inherited = regexp.MustCompile(`^(PATH|HOME|USER|LANG|LC_\w+|TMPDIR|TZ|LD_LIBRARY_PATH|(CUDA|NVIDIA|HF|VLLM|NCCL|XDG)_\w+)=`)

func environment(own []string, added map[string]string, fill *strings.Replacer) []string {
	var env []string
	for _, pair := range own {
		if inherited.MatchString(pair) {
			env = append(env, pair)
		}
	}
	for name, value := range added {
		env = append(env, name+"="+fill.Replace(value)) // the last one of a name counts
	}
	return env
}

var complaint = regexp.MustCompile(`(?i)\b(error|exception|fatal|panic|killed|out of memory|no such file|not found|failed)\b|Error\b`)

func (p *process) heard(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	text := wire.Clean(string(line), 1024)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = text
	if complaint.MatchString(text) {
		p.complained = text
	}
}

func (p *process) address() string { return p.at }

func (p *process) ended() <-chan struct{} { return p.gone }

func (p *process) why() (reason, line string) {
	p.mu.Lock()
	line = p.complained
	if line == "" {
		line = p.last
	}
	p.mu.Unlock()
	select {
	case <-p.gone:
	default:
		return "", line
	}
	if p.end == nil {
		return "The engine's command ended with exit status 0.", line
	}
	return fmt.Sprintf("The engine's command ended: %v.", p.end), line
}

func (p *process) stop() {
	select {
	case <-p.gone:
		return
	default:
	}
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(stopGrace):
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		<-p.gone
	}
}
