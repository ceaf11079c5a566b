package mock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// inventory is everything the mock cloud has, as it is kept in inventory.json.
type inventory struct {
	Servers map[string]*server `json:"servers"`
	// Calls counts the calls by operation that had an effect, Failed those that
	// were made to fail.
	Calls  map[string]int `json:"calls"`
	Failed map[string]int `json:"failed"`
}

// server is one machine: a group of processes on this host, with a volume and
// an address that outlive it. What is gone is kept for a while, so that its
// last second can be asked for.
type server struct {
	ID           string     `json:"id"`
	Zone         string     `json:"zone"`
	Type         string     `json:"type"`
	Name         string     `json:"name"`
	Installation uuid.UUID  `json:"installation"`
	Instance     uuid.UUID  `json:"instance"`
	CreatedAt    time.Time  `json:"created_at"`
	RunningAt    *time.Time `json:"running_at,omitempty"` // switched on, and running from then
	GoneAt       *time.Time `json:"gone_at,omitempty"`    // being deleted, and gone from then
	Volume       part       `json:"volume"`
	Address      part       `json:"address"`

	Generation int    `json:"generation,omitempty"` // of the agent that is installed
	Endpoint   string `json:"endpoint,omitempty"`
	PID        int    `json:"pid,omitempty"`
	Started    string `json:"started,omitempty"` // identifies the process beyond its pid
}

type part struct {
	ID     string     `json:"id"`
	Size   int        `json:"size,omitempty"` // GB
	Price  money.EUR  `json:"price_per_hour"`
	GoneAt *time.Time `json:"gone_at,omitempty"`
}

func past(at *time.Time, now time.Time) bool { return at != nil && !at.After(now) }

// over reports whether nothing of the server is left.
func (s *server) over(now time.Time) bool {
	return past(s.GoneAt, now) && past(s.Volume.GoneAt, now) && past(s.Address.GoneAt, now)
}

const (
	keepGone  = 7 * 24 * time.Hour
	lockEvery = 2 * time.Millisecond
)

// with runs fn on the inventory while no other process of this host has it, and
// writes the inventory back when fn reports a change. The file is replaced in
// one move: a crash leaves the old one or the new one.
func (c *Cloud) with(ctx context.Context, fn func(*inventory, Knobs, time.Time) (changed bool, err error)) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	knobs, err := readKnobs(filepath.Join(c.dir, "mock.json"))
	if err != nil {
		return err
	}
	inv, err := c.load()
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	changed, err := fn(inv, knobs, now)
	if !changed {
		return err
	}
	for id, s := range inv.Servers {
		if s.over(now.Add(-keepGone)) {
			delete(inv.Servers, id)
		}
	}
	return errors.Join(err, c.save(inv))
}

// lock takes the lock that the kernel gives back when its holder dies.
func (c *Cloud) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the mock cloud: %w", err)
	}
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && ctx.Err() == nil {
			return func() { _ = f.Close() }, nil // closing gives the lock back
		}
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock the mock cloud: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock the mock cloud: %w", ctx.Err()), f.Close())
		case <-tick.C:
		}
	}
}

func (c *Cloud) load() (*inventory, error) {
	inv := &inventory{}
	raw, err := os.ReadFile(filepath.Join(c.dir, "inventory.json"))
	if err == nil {
		err = json.Unmarshal(raw, inv)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the mock cloud's inventory: %w", err)
	}
	if inv.Servers == nil {
		inv.Servers = map[string]*server{}
	}
	if inv.Calls == nil {
		inv.Calls = map[string]int{}
	}
	if inv.Failed == nil {
		inv.Failed = map[string]int{}
	}
	return inv, nil
}

func (c *Cloud) save(inv *inventory) error {
	raw, err := json.MarshalIndent(inv, "", " ")
	if err != nil {
		return fmt.Errorf("write the mock cloud's inventory: %w", err)
	}
	path := filepath.Join(c.dir, "inventory.json")
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return fmt.Errorf("write the mock cloud's inventory: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the mock cloud's inventory: %w", err)
	}
	return nil
}

// sorted returns the servers in the order of their creation.
func (inv *inventory) sorted() []*server {
	all := make([]*server, 0, len(inv.Servers))
	for _, s := range inv.Servers {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *server) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all
}
