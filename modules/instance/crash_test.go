package instance_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

// crash tells a control plane in a process of its own when to die.
type crash struct {
	URL, Dir, Endpoint string
	At                 string  // name of the failpoint; empty: any
	Hit                int     // the how manieth time; 0: by chance
	Chance             float64 // at each failpoint
	Seed               uint64
}

// runControlPlane runs the loops and the agents' listener, which it inherits,
// until it is told to die.
func runControlPlane() error {
	var c crash
	if err := json.Unmarshal([]byte(os.Getenv("CRASHING_CONTROL_PLANE")), &c); err != nil {
		return err
	}
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, c.URL)
	if err != nil {
		return err
	}
	ring, err := keyring.Load(filepath.Join(c.Dir, "master.key"))
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cloud, err := mock.New(mock.Config{Dir: filepath.Join(c.Dir, "mock"), Agent: mock.Command(self, nil), Log: log})
	if err != nil {
		return err
	}
	conf := config(pool, ring, cloud, c.Endpoint)
	conf.Log, conf.Failpoint = log, c.failpoint()
	s, err := instance.New(ctx, conf)
	if err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	var g sync.WaitGroup
	for _, l := range s.Loops() {
		g.Go(func() { l.Run(ctx) })
	}
	server := &http.Server{Handler: s.AgentHandler(), ReadHeaderTimeout: 5 * time.Second}
	return server.Serve(tls.NewListener(listener, s.TLSConfig()))
}

// failpoint returns a function that kills its own process without a word.
func (c crash) failpoint() func(string) {
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(c.Seed, c.Seed))
	hits := 0
	return func(name string) {
		mu.Lock()
		defer mu.Unlock()
		if c.At != "" && c.At != name {
			return
		}
		hits++
		if hits == c.Hit || c.Hit == 0 && dice.Float64() < c.Chance {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal has arrived
		}
	}
}

// process is a control plane that runs outside of the test.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (w *world) start(t *testing.T, listener *net.TCPListener, c crash) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := &process{cmd: exec.Command(self), done: make(chan struct{})}
	p.cmd.Env = []string{"CRASHING_CONTROL_PLANE=" + string(raw)}
	p.cmd.ExtraFiles = []*os.File{file}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // to it the signal at death is tied: it must live as long
		err := p.cmd.Start()
		if started <- err; err == nil {
			_ = p.cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) dead() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (w *world) listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func (w *world) crash(l *net.TCPListener) crash {
	return crash{URL: w.pool.Config().ConnString(), Dir: w.dir, Endpoint: l.Addr().String()}
}

// Each place where a control plane may die is tried: another one takes over,
// nothing is made twice and nothing stays behind. Real processes are killed and
// started, which takes a few seconds.
func TestCrash_F01F02F04_killedAnywhereAnotherOneConverges(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"claimed", "stepped", "create_server.sent", "create_server.answered", "power_on.sent", "power_on.answered",
		"install.sent", "install.answered", "delete_server.sent", "delete_server.answered",
		"delete_resource.sent", "delete_resource.answered",
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			l := w.listen(t)
			dying := w.crash(l)
			dying.At, dying.Hit = at, 1
			first := w.start(t, l, dying)
			w.deploy(t, "chat", 1, 1)
			deletes := at[:4] == "dele"
			if deletes {
				w.waitReady(t, 1, 30*time.Second)
				w.mustDelete(t, "chat")
			}
			eventually(t, 30*time.Second, "the control plane dies at "+at, first.dead)
			w.start(t, l, w.crash(l))
			if !deletes {
				w.waitReady(t, 1, 30*time.Second)
				if n := w.stored(t).Calls["create"]; n != 1 {
					t.Errorf("%d servers were made for one instance", n)
				}
				w.mustDelete(t, "chat")
			}
			eventually(t, 30*time.Second, "the instance is terminated", func() bool {
				return len(w.list(t, instance.Terminated)) == 1
			})
			w.sameAsInventory(t)
			w.nothingLeft(t)
		})
	}
}

func (w *world) mustDelete(t *testing.T, name string) {
	t.Helper()
	if err := w.DeleteDeployment(t.Context(), w.actor, name); err != nil {
		t.Fatal(err)
	}
}

// nothingLeft holds that no server, volume or address exists, no process runs
// and no request is in doubt.
func (w *world) nothingLeft(t *testing.T) {
	t.Helper()
	for _, s := range w.stored(t).Servers {
		if s.GoneAt == nil || s.Volume.GoneAt == nil || s.Address.GoneAt == nil {
			t.Errorf("server %s is still there", s.ID)
		}
		if s.PID != 0 {
			t.Errorf("process %d of server %s is still there", s.PID, s.ID)
		}
	}
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM instance.operations WHERE status NOT IN ('confirmed', 'absent')`); n != 0 {
		t.Errorf("%d operations are in doubt", n)
	}
}

// Two control planes share a database and a cloud, and die again and again,
// while twenty instances come and twenty go.
func TestCrash_twoControlPlanesKilledAtRandom(t *testing.T) {
	t.Parallel()
	const instances = 20
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := setup(t)
	a, b := w.listen(t), w.listen(t)
	both := a.Addr().String() + "," + b.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	stop := func() { cancel(); g.Wait() }
	defer stop()
	kills := 0
	var mu sync.Mutex
	for n, l := range []*net.TCPListener{a, b} {
		g.Go(func() {
			for life := uint64(0); ctx.Err() == nil; life++ {
				c := w.crash(l)
				c.Endpoint, c.Chance, c.Seed = both, 0.01, seed+uint64(n)*1000+life
				p := w.start(t, l, c)
				select {
				case <-ctx.Done():
					p.kill()
				case <-p.done:
					mu.Lock()
					kills++
					mu.Unlock()
				}
			}
		})
	}
	for i := range 4 {
		w.deploy(t, fmt.Sprintf("chat-%d", i), instances/4, instances/4, offer1, offer2)
	}
	w.waitReady(t, instances, 150*time.Second)
	if n := w.stored(t).Calls["create"]; n != len(w.stored(t).Servers) || n < instances {
		t.Errorf("%d servers made, %d kept record of", n, len(w.stored(t).Servers))
	}
	w.sameAsInventory(t)
	if n := len(w.list(t)); n != instances {
		t.Errorf("%d instances for %d wanted: some failed", n, instances)
	}
	if n := len(w.stored(t).Servers); n != instances {
		t.Errorf("%d servers for %d instances", n, instances)
	}
	for i := range 4 {
		w.mustDelete(t, fmt.Sprintf("chat-%d", i))
	}
	eventually(t, 90*time.Second, "all are terminated", func() bool {
		return len(w.list(t, instance.Terminated)) == instances
	})
	stop()
	w.sameAsInventory(t)
	w.nothingLeft(t)
	if kills == 0 {
		t.Error("nobody was killed")
	}
	t.Logf("%d kills", kills)
}
