package instance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// A dump from before an instance was made knows nothing of its machine, which
// may well be somebody's: it is shown, and deleted by hand only.
func TestSweep_F40_machinesThatARestoredDumpDoesNotKnowAreLeftAlone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "old", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	known := w.list(t)[0]
	w.deploy(t, "new", 1, 1)
	w.waitReady(t, 2, 20*time.Second)
	lost := w.list(t)[0]
	stop()
	// Without its node an agent's report is refused, so that none comes between.
	for _, table := range []string{"nodes", "samples", "resources", "operations", "steps", "transitions"} {
		sql(t, w.pool, `DELETE FROM instance.`+table+` WHERE instance_id = $1`, lost.ID)
	}
	sql(t, w.pool, `DELETE FROM instance.instances WHERE id = $1`, lost.ID)
	sql(t, w.pool, `DELETE FROM instance.deployments WHERE name = 'new'`)

	for range 2 {
		if n, err := w.Sweep(ctx, "mock"); n != 0 || err == nil || !strings.Contains(err.Error(), "3 resources at mock") {
			t.Errorf("Sweep = %d, %v; want nothing moved and the strays told", n, err)
		}
	}
	if n := w.stored(t).Calls["delete"]; n != 0 {
		t.Fatalf("%d things were deleted", n)
	}
	member := auth.Actor{Organisation: w.org, Role: auth.Owner}
	if _, err := w.Strays(ctx, member); !fault.Is(err, fault.Denied) {
		t.Errorf("Strays for a member = %v", err)
	}
	if _, err := w.DeleteStray(ctx, member, lost.ID); !fault.Is(err, fault.Denied) {
		t.Errorf("DeleteStray by a member = %v", err)
	}
	strays, err := w.Strays(ctx, w.actor)
	if err != nil || len(strays) != 3 || strays[0].Ref.ID != lost.ServerID || strays[0].Instance != lost.ID || strays[0].Provider != "mock" {
		t.Fatalf("Strays = %+v, %v; want the server first of three", strays, err)
	}
	for _, id := range []uuid.UUID{known.ID, uuid.New()} {
		if _, err := w.DeleteStray(ctx, w.actor, id); !fault.Is(err, fault.NotFound) {
			t.Errorf("DeleteStray of another = %v", err)
		}
	}
	eventually(t, 10*time.Second, "the stray is gone", func() bool {
		left, err := w.DeleteStray(ctx, w.actor, lost.ID)
		return err == nil && len(left) == 0
	})
	if n, err := w.Sweep(ctx, "mock"); n != 0 || err != nil {
		t.Errorf("Sweep = %d, %v", n, err)
	}
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM auth.audit WHERE action = 'stray.delete' AND object = $1`, lost.ID.String()); n == 0 {
		t.Error("the deletion is not in the audit")
	}
	if left, err := w.cloud.List(ctx, instance.Query{Installation: w.Installation()}); err != nil || len(left) != 3 {
		t.Errorf("%d resources are left, %v; want the known instance's three", len(left), err)
	}
}

// A dump from between the plan and the request: the server that was made since
// is found by its tag and taken, not made a second time, and serves again.
func TestCreate_F40_aServerThatWasMadeSinceTheDumpIsAdopted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stop := w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	before := w.list(t)[0]
	stop()
	for _, table := range []string{"nodes", "samples", "resources", "operations", "steps", "transitions"} {
		sql(t, w.pool, `DELETE FROM instance.`+table)
	}
	sql(t, w.pool, `INSERT INTO instance.operations (id, instance_id, kind, status, epoch, planned_at)
		VALUES (gen_random_uuid(), $1, 'create_server', 'planned', 0, now() - interval '1 day')`, before.ID)
	sql(t, w.pool, `UPDATE instance.instances SET state = 'provisioning', step = 'server_created', provider_server_id = '', address = '',
		connectivity = 'lost', ready_at = NULL, deadline_at = now() + interval '1 hour', due_at = now()`)
	if n, err := w.Sweep(t.Context(), "mock"); n != 0 || err != nil {
		t.Errorf("Sweep = %d, %v; want its server left to the reconciler", n, err)
	}
	w.run(t)
	w.waitReady(t, 1, 20*time.Second)
	after := w.list(t)[0]
	if after.ID != before.ID || after.ServerID != before.ServerID || after.Generation != 2 {
		t.Errorf("%s of %s became %s of %s, generation %d", before.ServerID, before.Name, after.ServerID, after.Name, after.Generation)
	}
	if calls := w.stored(t).Calls; calls["create"] != 1 || calls["delete"] != 0 {
		t.Errorf("%d servers made, %d things deleted; want 1, 0", calls["create"], calls["delete"])
	}
	w.sameAsInventory(t)
}
