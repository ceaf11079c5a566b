// Package providertest holds every adapter of instance.Provider to the one
// contract that the reconciler relies on.
package providertest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// Target is an adapter with something that it can rent.
type Target struct {
	Provider instance.Provider
	Zone     string
	Type     string
	Absent   string        // a type that it does not have
	Patience time.Duration // for a start or an end
}

// Run tries the contract out. It rents, and deletes what it rented.
func Run(t *testing.T, target Target) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Target){
		"life": life, "tags": tags, "parts": parts, "unknown": unknown, "refusals": refusals, "repeats": repeats, "deadline": deadline,
	} {
		t.Run(name, func(t *testing.T) { test(t, target) })
	}
}

func (x Target) spec() instance.ServerSpec {
	return instance.ServerSpec{
		Tags: instance.Tags{Installation: uuid.New(), Instance: uuid.New()},
		Name: "contract", Zone: x.Zone, Type: x.Type, VolumeGB: 10,
	}
}

func (x Target) create(t *testing.T, spec instance.ServerSpec) instance.Server {
	t.Helper()
	s, err := x.Provider.Create(t.Context(), spec)
	if err != nil {
		t.Fatalf("Create = %v", err)
	}
	t.Cleanup(func() { x.deleteAll(t, s) })
	return s
}

// deleteAll deletes a server, then what it leaves.
func (x Target) deleteAll(t *testing.T, s instance.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), x.Patience)
	defer cancel()
	all := slices.Clone(s.Resources)
	slices.SortStableFunc(all, func(a, b instance.ProviderResource) int {
		if a.Ref.Kind == instance.KindServer {
			return -1
		}
		if b.Ref.Kind == instance.KindServer {
			return 1
		}
		return 0
	})
	for _, r := range all {
		x.until(ctx, t, "the "+string(r.Ref.Kind)+" is gone", func() bool {
			d, err := x.Provider.Delete(ctx, r.Ref)
			if kind := instance.KindOf(err); err != nil && kind != instance.KindTransient && kind != instance.KindThrottled {
				t.Fatalf("Delete %s = %v", r.Ref.Kind, err)
			}
			return d.Gone
		})
	}
}

func (x Target) until(ctx context.Context, t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, x.Patience)
	defer cancel()
	tick := time.NewTicker(x.Patience / 500)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", x.Patience, what)
		case <-tick.C:
		}
	}
}

// life: off, prepared, on, reachable, gone.
func life(t *testing.T, x Target) {
	t.Helper()
	spec := x.spec()
	s := x.create(t, spec)
	if s.State != instance.ServerStopped || s.Ref.ID == "" || s.Ref.Zone != x.Zone {
		t.Errorf("a new server is %+v, want it stopped in %s", s, x.Zone)
	}
	if err := x.Provider.Prepare(t.Context(), s.Ref, spec); err != nil {
		t.Errorf("Prepare = %v", err)
	}
	if err := x.Provider.PowerOn(t.Context(), s.Ref); err != nil {
		t.Fatalf("PowerOn = %v", err)
	}
	x.until(t.Context(), t, "the server runs with an address and its rules", func() bool {
		now, err := x.Provider.Server(t.Context(), s.Ref)
		if err != nil {
			t.Fatalf("Server = %v", err)
		}
		return now.State == instance.ServerRunning && now.Address != "" && now.Secured
	})
	x.until(t.Context(), t, "the server can be reached", func() bool { return x.Provider.Reach(t.Context(), s.Ref) == nil })
	if err := x.Provider.PowerOn(t.Context(), s.Ref); err != nil {
		t.Errorf("PowerOn of a running server = %v", err)
	}
	x.deleteAll(t, s)
	if _, err := x.Provider.Server(t.Context(), s.Ref); instance.KindOf(err) != instance.KindNotFound {
		t.Errorf("Server of a deleted one = %v, want not_found", err)
	}
	left, err := x.Provider.List(t.Context(), instance.Query{Installation: spec.Tags.Installation})
	if err != nil || len(left) != 0 {
		t.Errorf("List after the end = %+v, %v", left, err)
	}
}

// tags: everything is found by its tags, exactly, and by nobody else's.
func tags(t *testing.T, x Target) {
	t.Helper()
	spec := x.spec()
	s := x.create(t, spec)
	find := func(q instance.Query) []instance.ProviderResource {
		found, err := x.Provider.List(t.Context(), q)
		if err != nil {
			t.Fatalf("List = %v", err)
		}
		return found
	}
	q := instance.Query{Installation: spec.Tags.Installation, Instance: spec.Tags.Instance}
	x.until(t.Context(), t, "everything is listed", func() bool { return len(find(q)) == len(s.Resources) })
	for _, r := range find(q) {
		if r.Instance != spec.Tags.Instance || r.CreatedAt.IsZero() || r.Description == "" {
			t.Errorf("listed: %+v", r)
		}
	}
	for name, other := range map[string]instance.Query{
		"another instance":     {Installation: spec.Tags.Installation, Instance: uuid.New()},
		"another installation": {Installation: uuid.New(), Instance: spec.Tags.Instance},
		"another zone":         {Installation: spec.Tags.Installation, Zone: "elsewhere-9"},
	} {
		if found := find(other); len(found) != 0 {
			t.Errorf("%s lists %d of them", name, len(found))
		}
	}
}

// parts: what outlives its server is billed, listed and deleted apart.
func parts(t *testing.T, x Target) {
	t.Helper()
	spec := x.spec()
	s := x.create(t, spec)
	x.until(t.Context(), t, "the server is gone", func() bool {
		d, err := x.Provider.Delete(t.Context(), instance.ResourceRef{Kind: instance.KindServer, Zone: s.Ref.Zone, ID: s.Ref.ID})
		return err == nil && d.Gone
	})
	left, err := x.Provider.List(t.Context(), instance.Query{Installation: spec.Tags.Installation})
	if err != nil || len(left) != len(s.Resources)-1 {
		t.Errorf("the server is gone and %d of %d parts are left, %v", len(left), len(s.Resources)-1, err)
	}
	for _, r := range left {
		if r.Ref.Kind == instance.KindServer || r.PricePerHour <= 0 {
			t.Errorf("left: %+v", r)
		}
	}
}

// unknown: what never existed is gone already.
func unknown(t *testing.T, x Target) {
	t.Helper()
	for _, kind := range []instance.ResourceKind{instance.KindServer, instance.KindVolume, instance.KindAddress} {
		d, err := x.Provider.Delete(t.Context(), instance.ResourceRef{Kind: kind, Zone: x.Zone, ID: uuid.NewString()})
		if kindOf := instance.KindOf(err); !d.Gone && kindOf != instance.KindNotFound {
			t.Errorf("Delete of an unknown %s = %+v, %v", kind, d, err)
		}
	}
	ref := instance.ServerRef{Zone: x.Zone, ID: uuid.NewString()}
	_, err := x.Provider.Server(t.Context(), ref)
	for name, err := range map[string]error{
		"Server": err, "PowerOn": x.Provider.PowerOn(t.Context(), ref), "Reach": x.Provider.Reach(t.Context(), ref),
		"Prepare": x.Provider.Prepare(t.Context(), ref, x.spec()),
	} {
		if instance.KindOf(err) != instance.KindNotFound {
			t.Errorf("%s of an unknown server = %v, want not_found", name, err)
		}
	}
}

// refusals: what can never work says so, and makes nothing.
func refusals(t *testing.T, x Target) {
	t.Helper()
	spec := x.spec()
	spec.Type = x.Absent
	if _, err := x.Provider.Create(t.Context(), spec); instance.KindOf(err) != instance.KindInvalid {
		t.Errorf("Create of an unknown type = %v, want invalid", err)
	}
	left, err := x.Provider.List(t.Context(), instance.Query{Installation: spec.Tags.Installation})
	if err != nil || len(left) != 0 {
		t.Errorf("the refusal made %+v, %v", left, err)
	}
	offers, err := x.Provider.Offers(t.Context())
	offered := slices.ContainsFunc(offers, func(o instance.ProviderOffer) bool {
		return o.Zone == x.Zone && o.Type == x.Type && o.PricePerHour > 0 && o.Stock != ""
	})
	if err != nil || !offered {
		t.Errorf("Offers = %+v, %v; want %s in %s with a price", offers, err, x.Type, x.Zone)
	}
}

// repeats: a deletion may be asked for again, and keeps its time.
func repeats(t *testing.T, x Target) {
	t.Helper()
	s := x.create(t, x.spec())
	ref := instance.ResourceRef{Kind: instance.KindServer, Zone: s.Ref.Zone, ID: s.Ref.ID}
	var first instance.Deletion
	x.until(t.Context(), t, "the server is gone", func() bool {
		d, err := x.Provider.Delete(t.Context(), ref)
		first = d
		return err == nil && d.Gone
	})
	again, err := x.Provider.Delete(t.Context(), ref)
	if instance.KindOf(err) == instance.KindNotFound {
		return
	}
	if err != nil || !again.Gone || !again.At.Equal(first.At) {
		t.Errorf("Delete again = %+v, %v; first %+v", again, err, first)
	}
}

// deadline: a call that may not run any more has no effect.
func deadline(t *testing.T, x Target) {
	t.Helper()
	spec := x.spec()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := x.Provider.Create(ctx, spec)
	if err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Create after the end of its context = %v", err)
	}
	left, err := x.Provider.List(t.Context(), instance.Query{Installation: spec.Tags.Installation})
	if err != nil || len(left) != 0 {
		t.Errorf("it made %+v, %v", left, err)
	}
}
