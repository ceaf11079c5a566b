package instance_test

import (
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

// A server that turns up after its instance has ended belongs to nobody: the
// sweep deletes it, and who asked for it pays for its time.
func TestSweep_F07_aLateServerIsDeletedAndBilled(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	i := w.list(t)[0]
	w.mustDelete(t, "chat")
	eventually(t, 10*time.Second, "it is terminated", func() bool { return len(w.list(t, instance.Terminated)) == 1 })
	stop()
	_, err := w.cloud.Create(ctx, instance.ServerSpec{
		Tags: instance.Tags{Installation: w.Installation(), Instance: i.ID}, Zone: "local-1", Type: "SIM-L4-1-24G", VolumeGB: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.knobs(t, mock.Knobs{Failures: map[string]mock.Failure{"list": {Count: 1, Kind: instance.KindDenied}}})
	if n, err := w.Sweep(ctx, "mock"); err == nil || n != 0 {
		t.Errorf("a refused listing: %d moved, %v", n, err)
	}
	eventually(t, 10*time.Second, "the orphan is gone", func() bool {
		_, _ = w.Sweep(ctx, "mock") // a volume is in use until its server is gone
		left, err := w.cloud.List(ctx, instance.Query{Installation: w.Installation()})
		return err == nil && len(left) == 0
	})
	w.sameAsInventory(t)
}

// A second server of a ready instance is deleted however long that takes, and
// the first one serves on.
func TestSweep_aSecondServerIsDeletedThoughSlowly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	stop()
	i := w.list(t)[0]
	w.knobs(t, mock.Knobs{Delay: mock.Delay{Delete: 200}})
	_, err := w.cloud.Create(ctx, instance.ServerSpec{
		Tags: instance.Tags{Installation: w.Installation(), Instance: i.ID}, Zone: "local-2", Type: "SIM-L4-1-24G", VolumeGB: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "only the first is left, and nothing else is billed", func() bool {
		_, _ = w.Sweep(ctx, "mock") // says so while a volume is in use
		left, err := w.cloud.List(ctx, instance.Query{Installation: w.Installation()})
		billed := scalar[int](t, w.pool, `SELECT count(*) FROM instance.resources WHERE gone_at IS NULL`)
		return err == nil && len(left) == 3 && billed == 3
	})
	if all := w.list(t, instance.Ready); len(all) != 1 || all[0].ServerID != i.ServerID {
		t.Errorf("it is %+v", all)
	}
	w.sameAsInventory(t)
}

// A resource that is listed long after it was said to be gone is billed, so it
// is charged on, from its beginning, and deleted.
func TestSweep_whatComesBackIsChargedOnAndDeleted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t, func(c *instance.Config) { c.Timing.OrphanGrace = 15 * time.Minute })
	stop := w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	stop()
	sql(t, w.pool, `UPDATE instance.instances SET state = 'terminated', desired = 'terminated', step = '', terminated_at = now()`)
	old := w.list(t)[0].CreatedAt.Add(-2 * time.Hour)
	w.age(t, old)
	sweep := func(gone string) int {
		t.Helper()
		sql(t, w.pool, `UPDATE instance.resources SET created_at = $1, gone_at = now() - $2::interval, orphan = false`, old, gone)
		for range 3 { // a volume is in use until its server is gone
			if _, err := w.Sweep(ctx, "mock"); err != nil {
				t.Fatal(err)
			}
		}
		left, err := w.cloud.List(ctx, instance.Query{Installation: w.Installation()})
		if err != nil {
			t.Fatal(err)
		}
		return len(left)
	}
	if n := sweep("1 minute"); n != 3 {
		t.Errorf("a listing that lags: %d of 3 are left", n)
	}
	if n := sweep("1 hour"); n != 0 {
		t.Errorf("%d of 3 are left", n)
	}
	w.sameAsInventory(t)
}

func TestSweep_whatRunsStays(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	stop()
	other := instance.Tags{Installation: w.org, Instance: w.org} // another database's
	if _, err := w.cloud.Create(t.Context(), instance.ServerSpec{Tags: other, Zone: "local-1", Type: "SIM-L4-1-24G"}); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Sweep(t.Context(), "mock"); n != 0 || err != nil {
		t.Errorf("Sweep = %d, %v; want nothing", n, err)
	}
	if n := w.stored(t).Calls["delete"]; n != 0 {
		t.Errorf("%d things were deleted", n)
	}
}
