package instance_test

import (
	"errors"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// It takes a second or two: a real agent process joins and generates a token.
func TestLife_fromNothingToReadyToGone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	begin := time.Now()
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	t.Logf("nothing to ready in %s", time.Since(begin))

	i := w.list(t, instance.Ready)[0]
	d, err := w.Instance(t.Context(), w.org, i.Name)
	if err != nil {
		t.Fatal(err)
	}
	if d.Progress != 100 || len(d.Resources) != 3 || d.Node == nil || d.Node.JoinedAt == nil {
		t.Errorf("ready instance: progress %d, %d resources, node %+v", d.Progress, len(d.Resources), d.Node)
	}
	if len(d.Steps) != len(instance.Steps()) {
		t.Errorf("%d steps recorded, want %d: %+v", len(d.Steps), len(instance.Steps()), d.Steps)
	}
	for _, s := range d.Steps {
		if s.EndedAt == nil || s.Failed {
			t.Errorf("step %s is not complete: %+v", s.Step, s)
		}
	}
	for _, op := range d.Operations {
		if op.Status != instance.OpConfirmed {
			t.Errorf("operation %s is %s", op.Kind, op.Status)
		}
	}
	routes, sleeping, err := w.Routes(t.Context())
	if err != nil || len(routes) != 1 || len(sleeping) != 0 || routes[0].ID != i.ID || routes[0].Model != simChat {
		t.Errorf("Routes = %+v, %+v, %v", routes, sleeping, err)
	}

	if err := w.DeleteDeployment(t.Context(), w.actor, "chat"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the instance is terminated", func() bool { return len(w.list(t, instance.Terminated)) == 1 })
	d, err = w.Instance(t.Context(), w.org, i.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range d.Resources {
		if r.GoneAt == nil {
			t.Errorf("%s is terminated but still billed", r.Kind)
		}
	}
	w.sameAsInventory(t)
}

func TestSettle_lateHolderWritesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	w.deploy(t, "chat", 1, 1)
	if _, err := w.ScalePass(ctx); err != nil {
		t.Fatal(err)
	}
	claims, err := w.Claim(ctx, 1)
	if err != nil || len(claims) != 1 {
		t.Fatalf("Claim = %d, %v; want one", len(claims), err)
	}
	late := claims[0]

	// The holder stalls: its lease runs out and another one takes over.
	sql(t, w.pool, `UPDATE instance.instances SET lease_until = now() - interval '1 second'`)
	if n, err := w.Reconcile(ctx); n < 1 || err != nil {
		t.Fatalf("Reconcile = %d, %v; want one or more", n, err)
	}
	// The agent that was started meanwhile may report, which is another's to write.
	const row = `SELECT (to_jsonb(i) - 'connectivity' - 'due_at')::text FROM instance.instances i`
	before := scalar[string](t, w.pool, row)
	if err := w.SettleReady(ctx, late); !errors.Is(err, instance.ErrLeaseLost) {
		t.Fatalf("late settle = %v, want errLeaseLost", err)
	}
	if after := scalar[string](t, w.pool, row); after != before {
		t.Errorf("the late holder wrote\n%s\nover\n%s", after, before)
	}
}
