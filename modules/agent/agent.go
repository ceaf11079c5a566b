package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/engine"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/journal"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// maxOutput bounds each of the two files of the engine's output, in bytes.
const maxOutput = 20 << 20

// agent is a running agent.
type agent struct {
	cfg      Config
	log      *slog.Logger
	boot     uuid.UUID // of this run
	started  time.Time
	checksum string // of the own executable

	events *events
	output *journal.Journal
	id     *identity
	memory *memory
	plane  *plane
	engine *engine.Supervisor
	way    atomic.Pointer[way] // to the engine; nil before the first request
	links  *tunnel.Dialer

	noGPUs, badSpec, noLink, notKept repeated

	mu     sync.Mutex
	orders wire.HeartbeatResponse
	latest wire.Heartbeat
}

// Run is the agent: it joins the control plane if it has to, and serves until
// ctx ends or it is told to stop, both of which return nil. Requests that run
// have cfg.Grace to finish; then the engine is stopped.
//
// It returns fault.Invalid for a configuration that cannot work, fault.Conflict
// when another agent runs on the folder, and fault.Signin when the control
// plane refuses the node or its certificate has ended.
func Run(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	if err := cfg.validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fault.Newf(fault.Invalid, "The state directory %s cannot be made.", cfg.StateDir).WithCause(err)
	}
	unlock, err := lock(cfg.file(lockFile))
	if err != nil {
		return err
	}
	defer unlock()
	a, err := open(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(err)) }()
	return a.run(ctx)
}

// lock takes the folder; the kernel gives it back however the agent ends.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "The state directory cannot be written to.").WithCause(err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fault.New(fault.Conflict, "Another agent runs on this state directory.").WithFix("Stop it, or give this one a directory of its own.")
	}
	return func() { _ = file.Close() }, nil
}

func open(cfg Config, log *slog.Logger) (*agent, error) {
	a := &agent{cfg: cfg, log: log, boot: uuid.New(), started: time.Now()}
	var err error
	if a.checksum, err = ownChecksum(); err != nil {
		return nil, fmt.Errorf("read the agent's own file: %w", err)
	}
	if a.id, err = openIdentity(&a.cfg); err != nil {
		return nil, err
	}
	file, err := journal.Open(cfg.file(eventsFile), maxEvents)
	if err != nil {
		return nil, err
	}
	if a.output, err = journal.Open(cfg.file(engineFile), maxOutput); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	a.events = &events{instance: cfg.Instance, log: log, file: file}
	a.noGPUs = repeated{events: a.events, kind: "gpu_unreadable"}
	a.badSpec = repeated{events: a.events, kind: "engine_refused"}
	a.noLink = repeated{events: a.events, kind: "link_failed"}
	a.notKept = repeated{events: a.events, kind: "orders_not_kept"}
	a.memory = &memory{path: cfg.file(ordersFile), instance: cfg.Instance}
	a.plane = &plane{endpoints: a.cfg.Endpoints, id: a.id}
	a.engine = engine.New(cfg.StateDir, cfg.Environ, a.output, a.events.add)
	a.links = a.dialer()
	return a, nil
}

// close ends the logs, with the reason of the end as the last event.
func (a *agent) close(why error) error {
	text := "The agent has ended."
	if why != nil {
		text = "The agent has ended: " + why.Error()
	}
	a.events.add("agent_stopped", text)
	if to := a.way.Load(); to != nil {
		to.server.Close()
	}
	return errors.Join(a.output.Close(), a.events.file.Close())
}

func (a *agent) run(ctx context.Context) error {
	a.events.add("agent_started", fmt.Sprintf("Agent %s has started for instance %s.", a.cfg.Version, a.cfg.Instance))
	g, ctx := errgroup.WithContext(ctx)
	local, err := a.listen(ctx)
	if err != nil {
		return err
	}
	g.Go(func() error { return serveUntil(ctx, local, a.local()) })
	g.Go(func() error {
		if a.id.certificate() != nil {
			a.resume()
		} else if err := a.join(ctx); err != nil {
			return err
		}
		return a.work(ctx)
	})
	err = g.Wait()
	if errors.Is(err, errStop) {
		return a.memory.forget()
	}
	if errors.Is(err, context.Canceled) && fault.As(err) == nil {
		return nil
	}
	return err
}

// work is what an agent with an identity does. The links end first, so that
// running requests find the engine until they are done.
func (a *agent) work(ctx context.Context) error {
	supervised, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	engineDone := make(chan struct{})
	go func() { defer close(engineDone); a.engine.Run(supervised) }()
	defer func() {
		stopEngine()
		<-engineDone
		a.farewell(context.WithoutCancel(ctx))
	}()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.beat(ctx) })
	g.Go(func() error { return a.renew(ctx) })
	g.Go(func() error { a.links.Run(ctx); return nil })
	return g.Wait()
}

// dialer returns what keeps the tunnel's links.
func (a *agent) dialer() *tunnel.Dialer {
	return &tunnel.Dialer{
		Endpoints: a.cfg.Endpoints, TLS: a.id.TLS, Handler: a.remote(), Grace: a.cfg.Grace,
		Lookup: net.DefaultResolver.LookupHost,
		Up: func(address string) {
			a.noLink.over()
			a.events.add("link_up", "A link to "+address+" is up.")
		},
		Down: func(_ string, err error) { a.noLink.add("A link is down: " + err.Error()) },
	}
}

// listen opens the local pages and writes down where they are.
func (a *agent) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", a.cfg.Listen)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "The agent cannot listen at %s.", a.cfg.Listen).
			WithFix("Choose another address, or port 0 for any.").WithField("listen").WithCause(err)
	}
	if err := replaceFile(a.cfg.file(listenFile), []byte(ln.Addr().String()+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("write down the local address: %w", err), ln.Close())
	}
	return ln, nil
}

func serveUntil(ctx context.Context, ln net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the local pages: %w", err)
	}
	return nil
}

// ownChecksum returns the sha256 of the running executable, in hex.
func ownChecksum() (string, error) {
	file, err := os.Open("/proc/self/exe") // also when the file has been replaced since
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
