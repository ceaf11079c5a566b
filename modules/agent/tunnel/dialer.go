package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// LinksPerAddress is how many links a node keeps to each address.
const LinksPerAddress = 2

// Names are looked up again every lookupEvery, and sooner after a failure.
const (
	lookupEvery = 30 * time.Second
	lookupAgain = 3 * time.Second
)

// A link is dialled again at once to at most slowest later, with half of the
// pause left to chance: a control plane that comes back meets its agents one
// after the other. One that held for steady starts again at the fast end.
const (
	fastest = 250 * time.Millisecond
	slowest = 5 * time.Second
	steady  = 30 * time.Second
)

// Dialer keeps links from a node to every address of the control plane and
// answers what comes back through them.
type Dialer struct {
	Endpoints []string           // host:port; a host may have several addresses
	TLS       func() *tls.Config // asked before each dial, so that a renewed certificate is used
	Handler   http.Handler       // answers the requests
	Grace     time.Duration      // how long running requests may go on when the agent ends

	// Lookup returns the addresses of a host; net.Resolver.LookupHost is meant.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// Up and Down are told of every link that comes and goes, from several
	// goroutines. Down is also told of a dial and of a look-up that failed.
	Up   func(address string)
	Down func(address string, err error)

	links atomic.Int64
	once  func(ctx context.Context, address string) error // link when nil
}

// Run keeps the links until ctx ends and the last of them is closed. Addresses
// that a name no longer has lose their links, those of a failed look-up stay.
func (d *Dialer) Run(ctx context.Context) {
	var g sync.WaitGroup
	defer g.Wait()
	known := make(map[string]context.CancelFunc)
	defer func() {
		for _, leave := range known {
			leave()
		}
	}()
	for ctx.Err() == nil {
		now, whole := d.resolve(ctx)
		for _, address := range now {
			if known[address] != nil {
				continue
			}
			linked, leave := context.WithCancel(ctx)
			known[address] = leave
			for range LinksPerAddress {
				g.Go(func() { d.keep(linked, address) })
			}
		}
		for address, leave := range known {
			if whole && !slices.Contains(now, address) {
				leave()
				delete(known, address)
			}
		}
		pause := lookupEvery
		if !whole {
			pause = lookupAgain
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Links returns how many links there are.
func (d *Dialer) Links() int { return int(d.links.Load()) }

// resolve returns the addresses of every endpoint, and whether no look-up
// failed.
func (d *Dialer) resolve(ctx context.Context) (addresses []string, whole bool) {
	whole = true
	for _, endpoint := range d.Endpoints {
		host, port, err := net.SplitHostPort(endpoint)
		if err != nil {
			d.Down(endpoint, err)
			whole = false
			continue
		}
		ips, err := d.Lookup(ctx, host)
		if err != nil {
			if ctx.Err() == nil {
				d.Down(host, err)
			}
			whole = false
			continue
		}
		for _, ip := range ips {
			addresses = append(addresses, net.JoinHostPort(ip, port))
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses), whole
}

// keep dials address again and again until ctx ends.
func (d *Dialer) keep(ctx context.Context, address string) {
	once := d.once
	if once == nil {
		once = d.link
	}
	pause := &backoff.ExponentialBackOff{
		InitialInterval: fastest, MaxInterval: slowest, Multiplier: 2, RandomizationFactor: 0.5,
	}
	pause.Reset()
	for ctx.Err() == nil {
		start := time.Now()
		err := once(ctx, address)
		if ctx.Err() != nil {
			return
		}
		d.Down(address, err)
		if time.Since(start) > steady {
			pause.Reset()
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// link dials once and serves until the link ends.
func (d *Dialer) link(ctx context.Context, address string) error {
	conn, err := Dial(ctx, address, d.TLS())
	if err != nil {
		return err
	}
	d.links.Add(1)
	defer d.links.Add(-1)
	d.Up(address)
	if err := Serve(ctx, conn, d.Handler, d.Grace); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}
