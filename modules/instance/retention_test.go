package instance_test

import (
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

// A deployment that fails for weeks leaves its attempts behind: after a week
// they are ended, and a week later archived. One that is cleaned up stays.
func TestRetention_whatFailedLongAgoIsEnded(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *instance.Config) { c.Timing.Backoff = time.Hour })
	w.knobs(t, mock.Knobs{Failures: map[string]mock.Failure{"create": {Probability: 1, Kind: instance.KindInvalid}}})
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	eventually(t, 10*time.Second, "it has failed and costs nothing", func() bool {
		all := w.list(t, instance.ProvisioningFailed)
		return len(all) == 1 && all[0].Deadline == nil
	})
	pass := func() {
		t.Helper()
		sql(t, w.pool, `UPDATE instance.passes SET due_at = now() WHERE name = 'retention'`)
		if _, err := w.RetentionPass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sql(t, w.pool, `UPDATE instance.instances SET state_since = now() - interval '8 days', deadline_at = now() + interval '1 hour'`)
	pass()
	if want := scalar[string](t, w.pool, `SELECT desired FROM instance.instances`); want != "ready" {
		t.Errorf("one that is still cleaned up is wanted %s", want)
	}
	sql(t, w.pool, `UPDATE instance.instances SET deadline_at = NULL`)
	pass()
	eventually(t, 10*time.Second, "it is terminated", func() bool { return len(w.list(t, instance.Terminated)) == 1 })
	sql(t, w.pool, `UPDATE instance.instances SET terminated_at = now() - interval '8 days'`)
	pass()
	if n := len(w.list(t)); n != 0 {
		t.Errorf("%d instances are listed", n)
	}
}
