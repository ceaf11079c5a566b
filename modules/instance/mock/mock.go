// Package mock is a cloud on this host: its servers are real agent processes,
// its inventory a file. It has latency, stock, prices and failures to order,
// and it behaves like the real ones where that hurts: listings lag, answers get
// lost, volumes outlive their servers. The demo and the tests share it.
//
// The folder holds inventory.json (what exists), mock.json (see Knobs) and one
// folder per server. Processes of this host share it under a lock. Servers
// survive whoever made them; a restarted control plane finds them again.
package mock

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// Agent is what an agent is started with.
type Agent struct {
	StateDir  string
	Instance  uuid.UUID
	Endpoint  string
	CAFile    string
	TokenFile string // mode 0600
}

// Config is what the cloud needs.
type Config struct {
	Dir string // an absolute path
	// Agent returns the command and the whole environment of a server's agent.
	// See Command.
	Agent func(Agent) (argv, env []string)
	Log   *slog.Logger
}

// Command returns what starts executable's verb agent, in an environment of
// base and the agent's settings.
func Command(executable string, base []string) func(Agent) (argv, env []string) {
	return func(a Agent) (argv, env []string) {
		return []string{executable, "agent"}, append(slices.Clone(base),
			"INVENTIV_AGENT_STATE_DIR="+a.StateDir,
			"INVENTIV_AGENT_INSTANCE="+a.Instance.String(),
			"INVENTIV_AGENT_ENDPOINT="+a.Endpoint,
			"INVENTIV_AGENT_CA_FILE="+a.CAFile,
			"INVENTIV_AGENT_TOKEN_FILE="+a.TokenFile,
			"INVENTIV_AGENT_LOCAL_LISTEN=127.0.0.1:0",
		)
	}
}

// Cloud is the mock provider. Make it with New.
type Cloud struct {
	dir   string
	agent func(Agent) (argv, env []string)
	log   *slog.Logger
}

// Zones and types are those of the shipped catalogue.
var (
	zones = []string{"local-1", "local-2"}
	types = []string{"SIM-L4-1-24G", "SIM-L40S-1-48G", "SIM-H100-1-80G"}
)

// New returns the cloud in the folder, which it creates if need be.
func New(c Config) (*Cloud, error) {
	if err := os.MkdirAll(filepath.Join(c.Dir, "servers"), 0o700); err != nil {
		return nil, fmt.Errorf("open the mock cloud: %w", err)
	}
	return &Cloud{dir: c.Dir, agent: c.Agent, log: c.Log}, nil
}

func (c *Cloud) home(id string) string { return filepath.Join(c.dir, "servers", id) }

// call runs fn as one call of op: after the delay of a call, and in place of it
// or after it the failure that was ordered.
func (c *Cloud) call(ctx context.Context, op string, fn func(*inventory, Knobs, time.Time) (changed bool, err error)) error {
	knobs, err := readKnobs(filepath.Join(c.dir, "mock.json"))
	if err != nil {
		return err
	}
	if knobs.Delay.Call > 0 {
		select {
		case <-ctx.Done():
			return &instance.ProviderError{Kind: instance.KindUnknown, Text: "The call took too long.", Err: ctx.Err()}
		case <-time.After(millis(knobs.Delay.Call)):
		}
	}
	return c.with(ctx, func(inv *inventory, k Knobs, now time.Time) (bool, error) {
		f, known := k.Failures[op]
		fails := known && (inv.Failed[op] < f.Count || rand.Float64() < f.Probability)
		if fails {
			inv.Failed[op]++
		}
		if !fails || f.Late {
			changed, err := fn(inv, k, now)
			if changed {
				inv.Calls[op]++
			}
			if err != nil || !fails {
				return changed || fails, err
			}
		}
		return true, ordered(op, f)
	})
}

// ordered is the error of an ordered failure.
func ordered(op string, f Failure) error {
	kind, text := f.Kind, f.Text
	if kind == "" || f.Late {
		kind = instance.KindUnknown
	}
	if text == "" {
		text = "The mock cloud was told to fail at " + op + "."
	}
	return &instance.ProviderError{Kind: kind, Text: text}
}

// Offers returns every type in every zone.
func (c *Cloud) Offers(ctx context.Context) ([]instance.ProviderOffer, error) {
	var offers []instance.ProviderOffer
	err := c.call(ctx, "offers", func(inv *inventory, k Knobs, now time.Time) (bool, error) {
		for _, zone := range zones {
			for _, kind := range types {
				stock := instance.StockAvailable
				if n, bounded := k.stock(zone, kind); bounded && inv.count(zone, kind, k, now) >= n {
					stock = instance.StockOut
				}
				offers = append(offers, instance.ProviderOffer{Zone: zone, Type: kind, PricePerHour: k.price(kind), Stock: stock})
			}
		}
		return false, nil
	})
	return offers, err
}

// count returns how many servers take from the stock that bounds the type in
// the zone.
func (inv *inventory) count(zone, kind string, k Knobs, now time.Time) int {
	_, zonal := k.Stock[zone+"/"+kind]
	n := 0
	for _, s := range inv.Servers {
		if s.Type == kind && (!zonal || s.Zone == zone) && !past(s.GoneAt, now) {
			n++
		}
	}
	return n
}

// List returns what exists with the tags.
func (c *Cloud) List(ctx context.Context, q instance.Query) ([]instance.ProviderResource, error) {
	var found []instance.ProviderResource
	err := c.call(ctx, "list", func(inv *inventory, k Knobs, now time.Time) (bool, error) {
		for _, s := range inv.sorted() {
			if s.Installation != q.Installation || q.Zone != "" && s.Zone != q.Zone ||
				q.Instance != uuid.Nil && s.Instance != q.Instance || now.Sub(s.CreatedAt) < millis(k.Delay.List) {
				continue
			}
			found = append(found, s.resources(now)...)
		}
		return false, nil
	})
	return found, err
}

// resources returns what of the server is billed now.
func (s *server) resources(now time.Time) []instance.ProviderResource {
	var out []instance.ProviderResource
	add := func(kind instance.ResourceKind, id, text string, p part, gone *time.Time) {
		if past(gone, now) {
			return
		}
		out = append(out, instance.ProviderResource{
			Ref: instance.ResourceRef{Kind: kind, Zone: s.Zone, ID: id}, Instance: s.Instance,
			Description: text, PricePerHour: p.Price, CreatedAt: s.CreatedAt,
		})
	}
	add(instance.KindServer, s.ID, s.Type, part{}, s.GoneAt)
	add(instance.KindVolume, s.Volume.ID, fmt.Sprintf("%d GB volume", s.Volume.Size), s.Volume, s.Volume.GoneAt)
	add(instance.KindAddress, s.Address.ID, "IPv4 address", s.Address, s.Address.GoneAt)
	return out
}

// Create makes a server, switched off.
func (c *Cloud) Create(ctx context.Context, spec instance.ServerSpec) (instance.Server, error) {
	var made instance.Server
	err := c.call(ctx, "create", func(inv *inventory, k Knobs, now time.Time) (bool, error) {
		if !slices.Contains(zones, spec.Zone) || !slices.Contains(types, spec.Type) {
			return false, &instance.ProviderError{
				Kind: instance.KindInvalid, Text: fmt.Sprintf("There is no type %s in zone %s.", spec.Type, spec.Zone),
			}
		}
		if n, bounded := k.stock(spec.Zone, spec.Type); bounded && inv.count(spec.Zone, spec.Type, k, now) >= n {
			return false, outOfStock(spec.Zone, spec.Type)
		}
		size := max(spec.VolumeGB, 1)
		s := &server{
			ID: uuid.NewString(), Zone: spec.Zone, Type: spec.Type, Name: spec.Name,
			Installation: spec.Tags.Installation, Instance: spec.Tags.Instance, CreatedAt: now,
			Volume:  part{ID: uuid.NewString(), Size: size, Price: k.price("volume") * money.EUR(size)},
			Address: part{ID: uuid.NewString(), Price: k.price("address")},
		}
		if err := os.MkdirAll(c.home(s.ID), 0o700); err != nil {
			return false, fmt.Errorf("make the folder of a server: %w", err)
		}
		inv.Servers[s.ID] = s
		made = s.view(now)
		return true, nil
	})
	return made, err
}

func outOfStock(zone, kind string) error {
	return &instance.ProviderError{Kind: instance.KindOutOfStock, Text: fmt.Sprintf("%s is out of stock in %s.", kind, zone)}
}

// view is the server as its owner sees it.
func (s *server) view(now time.Time) instance.Server {
	v := instance.Server{
		Ref: instance.ServerRef{Zone: s.Zone, ID: s.ID}, State: instance.ServerStopped, Secured: true, Resources: s.resources(now),
	}
	switch {
	case s.GoneAt != nil:
		v.State = instance.ServerStopping
	case past(s.RunningAt, now):
		v.State, v.Address = instance.ServerRunning, "127.0.0.1"
	case s.RunningAt != nil:
		v.State = instance.ServerStarting
	}
	return v
}

// find returns the server, or a KindNotFound error when there is none any more.
func (inv *inventory) find(ref instance.ServerRef, now time.Time) (*server, error) {
	s, ok := inv.Servers[ref.ID]
	if !ok || s.Zone != ref.Zone || past(s.GoneAt, now) {
		return nil, &instance.ProviderError{Kind: instance.KindNotFound, Text: "There is no such server."}
	}
	return s, nil
}

// Prepare has nothing to do beyond finding the server.
func (c *Cloud) Prepare(ctx context.Context, ref instance.ServerRef, _ instance.ServerSpec) error {
	return c.call(ctx, "prepare", func(inv *inventory, _ Knobs, now time.Time) (bool, error) {
		_, err := inv.find(ref, now)
		return false, err
	})
}

// PowerOn starts the server; it runs after the delay of a boot.
func (c *Cloud) PowerOn(ctx context.Context, ref instance.ServerRef) error {
	return c.call(ctx, "power_on", func(inv *inventory, k Knobs, now time.Time) (bool, error) {
		s, err := inv.find(ref, now)
		if err != nil || s.RunningAt != nil || s.GoneAt != nil {
			return false, err
		}
		at := now.Add(millis(k.Delay.Boot))
		s.RunningAt = &at
		return true, nil
	})
}

// Server returns the server as it is now.
func (c *Cloud) Server(ctx context.Context, ref instance.ServerRef) (instance.Server, error) {
	var seen instance.Server
	err := c.call(ctx, "server", func(inv *inventory, _ Knobs, now time.Time) (bool, error) {
		s, err := inv.find(ref, now)
		if err == nil {
			seen = s.view(now)
		}
		return false, err
	})
	return seen, err
}

// Reach succeeds as soon as the server runs.
func (c *Cloud) Reach(ctx context.Context, ref instance.ServerRef) error {
	return c.call(ctx, "reach", func(inv *inventory, _ Knobs, now time.Time) (bool, error) {
		s, err := inv.find(ref, now)
		if err == nil && !past(s.RunningAt, now) {
			err = &instance.ProviderError{Kind: instance.KindTransient, Text: "The server does not run yet."}
		}
		return false, err
	})
}

// Delete ends a server with its processes, or a volume or address once its
// server is gone.
func (c *Cloud) Delete(ctx context.Context, ref instance.ResourceRef) (instance.Deletion, error) {
	var d instance.Deletion
	err := c.call(ctx, "delete", func(inv *inventory, k Knobs, now time.Time) (bool, error) {
		s, gone := inv.holder(ref)
		if s == nil {
			d.Gone = true
			return false, nil
		}
		changed := false
		if *gone == nil {
			if ref.Kind == instance.KindVolume && !past(s.GoneAt, now) {
				return false, &instance.ProviderError{Kind: instance.KindTransient, Text: "The volume is in use by its server."}
			}
			if ref.Kind == instance.KindServer {
				if err := c.kill(ctx, s); err != nil {
					return false, err
				}
			}
			at := now.Add(millis(k.Delay.Delete))
			*gone, changed = &at, true
		}
		if !past(*gone, now) {
			return changed, nil
		}
		d = instance.Deletion{Gone: true, At: **gone}
		if ref.Kind == instance.KindServer {
			return changed, os.RemoveAll(c.home(s.ID))
		}
		return changed, nil
	})
	return d, err
}

// holder returns the server that a resource belongs to and where its end is
// kept; nil when nobody knows of it.
func (inv *inventory) holder(ref instance.ResourceRef) (s *server, gone **time.Time) {
	for _, s := range inv.Servers {
		switch {
		case s.Zone != ref.Zone:
		case ref.Kind == instance.KindServer && s.ID == ref.ID:
			return s, &s.GoneAt
		case ref.Kind == instance.KindVolume && s.Volume.ID == ref.ID:
			return s, &s.Volume.GoneAt
		case ref.Kind == instance.KindAddress && s.Address.ID == ref.ID:
			return s, &s.Address.GoneAt
		}
	}
	return nil, nil
}
