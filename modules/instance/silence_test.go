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
