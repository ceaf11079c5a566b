package tunnel

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// network is a name service and a set of control planes, all in memory.
type network struct {
	mu    sync.Mutex
	names map[string][]string      // host → addresses; a missing one cannot be looked up
	up    map[string]chan struct{} // address → closed when the control plane there dies
	links map[string]int
	dials int
}

func newNetwork(addresses ...string) *network {
	n := &network{names: map[string][]string{}, up: map[string]chan struct{}{}, links: map[string]int{}}
	for _, a := range addresses {
		n.names["plane"] = append(n.names["plane"], a)
		n.up[a+":8443"] = make(chan struct{})
	}
	return n
}

func (n *network) lookup(_ context.Context, host string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addresses, ok := n.names[host]; ok {
		return addresses, nil
	}
	return nil, errors.New("no such host")
}

// link stands for Dialer.link: it returns when the control plane dies or the
// link is to end.
func (n *network) link(ctx context.Context, address string) error {
	n.mu.Lock()
	n.dials++
	died, ok := n.up[address]
	if ok {
		n.links[address]++
	}
	n.mu.Unlock()
	if !ok {
		return errors.New("connection refused")
	}
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.links[address]--
	}()
	select {
	case <-died:
		return errors.New("link ended")
	case <-ctx.Done():
		return nil
	}
}

func (n *network) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *network) want(t *testing.T, when string, links map[string]int) {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for address, want := range links {
		if got := n.links[address]; got != want {
			t.Errorf("%s: %d links to %s, want %d", when, got, address, want)
		}
	}
}

func run(t *testing.T, n *network) (stop func()) {
	t.Helper()
	d := &Dialer{
		Endpoints: []string{"plane:8443"}, Lookup: n.lookup, once: n.link,
		Up: func(string) {}, Down: func(string, error) {},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestDialer_keepsTwoLinksToEveryAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork("10.0.0.1", "10.0.0.2")
		stop := run(t, n)
		n.want(t, "at the start", map[string]int{"10.0.0.1:8443": 2, "10.0.0.2:8443": 2})

		n.set(func() {
			n.names["plane"] = []string{"10.0.0.2", "10.0.0.3"}
			n.up["10.0.0.3:8443"] = make(chan struct{})
		})
		time.Sleep(31 * time.Second)
		n.want(t, "after one came and one went", map[string]int{"10.0.0.1:8443": 0, "10.0.0.2:8443": 2, "10.0.0.3:8443": 2})

		n.set(func() { delete(n.names, "plane") })
		time.Sleep(5 * time.Minute)
		n.want(t, "without a name service", map[string]int{"10.0.0.2:8443": 2, "10.0.0.3:8443": 2})

		stop()
		n.want(t, "after the end", map[string]int{"10.0.0.2:8443": 0, "10.0.0.3:8443": 0})
	})
}

func TestDialer_comesBack_F20(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const address = "10.0.0.1:8443"
		n := newNetwork("10.0.0.1")
		stop := run(t, n)
		n.want(t, "at the start", map[string]int{address: 2})

		n.set(func() { close(n.up[address]); delete(n.up, address); n.dials = 0 })
		time.Sleep(10 * time.Minute)
		n.set(func() {
			if n.dials < 2*80 || n.dials > 2*300 { // each link pauses 2.5 s to 7.5 s
				t.Errorf("%d dials in ten minutes", n.dials)
			}
			n.up[address] = make(chan struct{})
		})
		time.Sleep(slowest + slowest/2 + time.Millisecond)
		n.want(t, "after it came back", map[string]int{address: 2})
		stop()
	})
}
