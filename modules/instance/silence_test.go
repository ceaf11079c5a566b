package instance_test

import (
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// silence makes ready instances whose nodes have not reported for an hour, of
// which the first lost ones are known to be lost.
func (w *world) silence(t *testing.T, lost int) {
	t.Helper()
	w.Listens(time.Now().Add(-2*time.Hour), time.Now())
	sql(t, w.pool, `UPDATE instance.nodes SET heartbeat_at = now() - interval '1 hour'
		WHERE instance_id IN (SELECT id FROM instance.instances ORDER BY name LIMIT $1)`, lost)
	sql(t, w.pool, `UPDATE instance.instances SET connectivity = 'lost', due_at = now()
		WHERE id IN (SELECT id FROM instance.instances ORDER BY name LIMIT $1)`, lost)
}

func TestLost_aSilentNodeIsReplaced(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 4, 4)
	w.waitReady(t, 4, 40*time.Second)
	stop()
	w.pauseAgents(t)
	name := w.list(t)[0].Name
	for _, i := range w.list(t) {
		name = min(name, i.Name)
	}
	eventually(t, 10*time.Second, "the silent one is given up, and no other", func() bool {
		w.silence(t, 1) // again, should a last report have been on its way
		if _, err := w.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		d, err := w.Instance(t.Context(), w.org, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range d.Transitions {
			if tr.From == instance.Ready && tr.To == instance.Terminating && tr.Reason == instance.ReasonNodeLost {
				return len(w.list(t, instance.Ready)) == 3
			}
		}
		return false
	})
}

func TestLost_whenMostFallSilentNoneIsReplaced(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 4, 4)
	w.waitReady(t, 4, 40*time.Second)
	stop()
	w.pauseAgents(t)
	eventually(t, 10*time.Second, "all three say why they are left alone", func() bool {
		w.silence(t, 3)
		if _, err := w.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		return scalar[int](t, w.pool, `SELECT count(*) FROM instance.instances WHERE state = 'ready' AND reason = 'many_nodes_silent'`) == 3
	})
	if n := len(w.list(t, instance.Ready)); n != 4 {
		t.Errorf("%d of 4 are ready", n)
	}
}

// pauseAgents ends the agents, so that none reports.
func (w *world) pauseAgents(t *testing.T) {
	t.Helper()
	if err := w.cloud.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A control plane that the node has no tunnel to leaves the instance to the one
// that it has.
func TestProbe_aReplicaWithoutATunnelLeavesItToAnother(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := config(w.pool, w.ring, w.cloud, w.endpoint)
	c.Hub = tunnel.NewHub(nil)
	blind, err := instance.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	other := &world{Service: blind}
	other.run(t)
	w.deploy(t, "chat", 1, 1)
	eventually(t, 20*time.Second, "the one without a tunnel has come to it", func() bool {
		return len(w.list(t, instance.Starting)) == 1
	})
	w.run(t)
	w.waitReady(t, 1, 20*time.Second)
	if i := w.list(t)[0]; i.Attempts != 0 {
		t.Errorf("%d failed attempts", i.Attempts)
	}
}

// TestF19_aNodeWithATunnelIsNotSilent has two control planes of which one has the
// node's tunnel, and neither gets its reports. The node serves on and says so to
// people, whoever looks; without the tunnel it is given up.
func TestF19_aNodeWithATunnelIsNotSilent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, time.Minute)
	stop()
	blind, err := instance.New(t.Context(), config(w.pool, w.ring, w.cloud, w.endpoint))
	if err != nil {
		t.Fatal(err)
	}
	look := func() instance.Instance {
		t.Helper()
		for _, s := range []*instance.Service{w.Service, blind} {
			s.Listens(time.Now().Add(-2*time.Hour), time.Now())
			if _, err := s.WatchPass(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		sql(t, w.pool, `UPDATE instance.instances SET due_at = now()`)
		if _, err := w.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w.list(t)[0]
	}

	w.deaf.Store(true)
	eventually(t, time.Minute, "people are told that it serves without reporting", func() bool {
		w.silence(t, 1) // again, should a last report have been on its way
		i := look()
		return i.State == instance.Ready && i.Connectivity == instance.Online && i.Reason == instance.ReasonNodeUnheard
	})
	if routes, _, err := w.Routes(t.Context()); err != nil || len(routes) != 1 {
		t.Errorf("requests may go to %+v, %v; want the one instance", routes, err)
	}
	stream, err := w.Open(w.list(t)[0].ID)
	if err != nil {
		t.Fatalf("no request reaches it: %v", err)
	}
	_ = stream.Close()

	w.deaf.Store(false)
	eventually(t, time.Minute, "its reports arrive again", func() bool { return look().Reason == "" })

	w.deaf.Store(true)
	w.pauseAgents(t)
	eventually(t, time.Minute, "it is given up without its tunnel", func() bool {
		sql(t, w.pool, `UPDATE instance.nodes SET heartbeat_at = now() - interval '1 hour', linked_at = now() - interval '30 minutes'`)
		i := look()
		return i.State == instance.Terminating && i.Reason != instance.ReasonNodeUnheard || i.State == instance.Terminated
	})
}

// Nodes that report cost no write.
func TestF19_aNodeThatReportsIsNotWritten(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, time.Minute)
	stop()
	if _, err := w.WatchPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM instance.nodes WHERE linked_at IS NOT NULL`); n != 0 {
		t.Errorf("the tunnels of %d nodes were noted, want none", n)
	}
}
