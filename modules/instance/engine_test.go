package instance_test

import (
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// An engine that ends again and again is in none of its states for long. What
// counts is how long it has not been ready, by reports that came in time.
func TestReady_anEngineThatNeverComesBackIsGivenUp(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	stop()
	w.pauseAgents(t)
	reported := func(state, ago string) instance.Instance {
		t.Helper()
		sql(t, w.pool, `UPDATE instance.nodes SET heartbeat_at = now() - $2::interval,
			heartbeat = jsonb_set(heartbeat, '{engine}', jsonb_build_object('state', $1::text, 'since', now(), 'restarts', 7, 'last_error', 'CUDA out of memory'))`, state, ago)
		sql(t, w.pool, `UPDATE instance.instances SET connectivity = 'online', due_at = now(), lease_until = 'epoch'`) // the loop that was stopped may hold it
		if _, err := w.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w.list(t)[0]
	}
	down := reported("failed", "0 seconds")
	if down.State != instance.Ready || down.Reason != instance.ReasonEngineDown || down.Deadline == nil || time.Until(*down.Deadline) < 10*time.Minute {
		t.Fatalf("an engine that is down: %s %s until %v", down.State, down.Reason, down.Deadline)
	}
	if again := reported("starting", "0 seconds"); again.Deadline == nil || !again.Deadline.Equal(*down.Deadline) {
		t.Errorf("its next start moved the deadline from %s to %v", down.Deadline, again.Deadline)
	}
	if back := reported("ready", "0 seconds"); back.Deadline != nil || back.Reason != "" {
		t.Errorf("an engine that came back: %s until %v", back.Reason, back.Deadline)
	}
	reported("loading", "0 seconds")
	sql(t, w.pool, `UPDATE instance.instances SET deadline_at = now() - interval '1 minute'`)
	if unheard := reported("failed", "2 minutes"); unheard.State != instance.Ready {
		t.Errorf("it is %s by a report from before the deadline", unheard.State)
	}
	if given := reported("starting", "0 seconds"); given.State == instance.Ready {
		t.Errorf("it is %s after its deadline", given.State)
	}
	d, err := w.Instance(t.Context(), w.org, down.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range d.Transitions {
		if tr.From == instance.Ready && (tr.To != instance.Terminating || tr.Reason != instance.ReasonEngineFailed) {
			t.Errorf("it went to %s for %s", tr.To, tr.Reason)
		}
	}
}
