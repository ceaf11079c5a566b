package mock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// Install starts the agent. The one that is there stays, unless it is of
// another generation; of an earlier generation nothing is installed.
func (c *Cloud) Install(ctx context.Context, ref instance.ServerRef, spec instance.InstallSpec) (instance.Installation, error) {
	err := c.call(ctx, "install", func(inv *inventory, _ Knobs, now time.Time) (bool, error) {
		s, err := inv.find(ref, now)
		switch {
		case err != nil:
			return false, err
		case !past(s.RunningAt, now) || s.GoneAt != nil:
			return false, &instance.ProviderError{Kind: instance.KindTransient, Text: "The server does not run."}
		case spec.Generation < s.Generation:
			return false, &instance.ProviderError{Kind: instance.KindInvalid, Text: "A later installation is there."}
		case spec.Generation == s.Generation && s.alive():
			return false, nil
		}
		if err := c.kill(ctx, s); err != nil { // also one whose start was never written down
			return true, err
		}
		if err := c.put(s, spec); err != nil {
			return true, err
		}
		s.Generation, s.Endpoint = spec.Generation, spec.Endpoint
		return true, c.start(s)
	})
	return instance.Installation{Done: err == nil}, err
}

// put writes what the agent is given. Another generation starts from nothing;
// the same one keeps its identity, also when the inventory does not know yet
// that it was begun: its token may have been used.
func (c *Cloud) put(s *server, spec instance.InstallSpec) error {
	home := c.home(s.ID)
	begun := filepath.Join(home, "generation")
	generation := strconv.Itoa(spec.Generation)
	var err error
	if old, _ := os.ReadFile(begun); string(old) != generation { // one that cannot be read is another
		err = errors.Join(os.RemoveAll(filepath.Join(home, "agent")), os.WriteFile(begun, []byte(generation), 0o600))
	}
	return errors.Join(err,
		os.MkdirAll(filepath.Join(home, "agent"), 0o700),
		os.WriteFile(filepath.Join(home, "ca.pem"), spec.CA, 0o600),
		os.WriteFile(filepath.Join(home, "join-token"), []byte(spec.Token), 0o600))
}

// Supervise starts again the agents of running servers that have ended, as the
// init system of a real machine would, and returns how many: after a crash of
// an agent, after a restart of the host, after Shutdown.
func (c *Cloud) Supervise(ctx context.Context) (int, error) {
	started := 0
	err := c.with(ctx, func(inv *inventory, _ Knobs, now time.Time) (bool, error) {
		for _, s := range inv.sorted() {
			if s.Generation == 0 || s.GoneAt != nil || s.alive() {
				continue
			}
			if err := c.kill(ctx, s); err != nil {
				return started > 0, err
			}
			if err := c.start(s); err != nil {
				return started > 0, err
			}
			started++
			c.log.InfoContext(ctx, "agent started again", "server", s.ID, "instance", s.Name)
		}
		return started > 0, nil
	})
	return started, err
}

// Shutdown stops every agent and leaves the servers, as if the power of their
// machines was cut after a warning. Supervise starts them again.
func (c *Cloud) Shutdown(ctx context.Context) error {
	return c.with(ctx, func(inv *inventory, _ Knobs, _ time.Time) (bool, error) {
		polite, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		var errs []error
		for _, s := range inv.sorted() {
			if s.PID == 0 {
				continue
			}
			if c.signal(polite, s, syscall.SIGTERM) != nil {
				errs = append(errs, c.kill(ctx, s))
			}
		}
		return true, errors.Join(errs...)
	})
}

// Remove makes a server vanish as if somebody had deleted it in the provider's
// console; its volume and address stay.
func (c *Cloud) Remove(ctx context.Context, id string) error {
	return c.with(ctx, func(inv *inventory, _ Knobs, now time.Time) (bool, error) {
		s, ok := inv.Servers[id]
		if !ok {
			return false, fmt.Errorf("remove server %s: there is none", id)
		}
		s.GoneAt = &now
		return true, c.kill(ctx, s)
	})
}
