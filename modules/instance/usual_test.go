package instance_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

func TestInstance_usualIsTheMedianOfItsLike(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.deploy(t, "chat", 7, 7)
	if _, err := w.ScalePass(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := w.list(t)
	if len(all) != 7 {
		t.Fatalf("%d instances, want 7", len(all))
	}
	sql(t, w.pool, `DELETE FROM instance.steps`)
	took := func(i instance.Instance, step instance.Step, seconds int, failed bool) {
		sql(t, w.pool, `INSERT INTO instance.steps (instance_id, generation, step, started_at, ended_at, failed)
			VALUES ($1, 1, $2, now() - make_interval(secs => $3), now(), $4)`, i.ID, string(step), seconds, failed)
	}
	rising, others := all[0], all[1:]
	usual := func() map[instance.Step]instance.Usual {
		t.Helper()
		d, err := w.Instance(t.Context(), w.org, rising.Name)
		if err != nil {
			t.Fatal(err)
		}
		return d.Usual
	}
	if got := usual(); len(got) != 0 {
		t.Errorf("before anything became ready: %v", got)
	}

	sql(t, w.pool, `UPDATE instance.instances SET state = 'ready', ready_at = now() WHERE id <> $1`, rising.ID)
	for n, seconds := range []int{20, 24, 90} {
		took(others[n], instance.StepPoweredOn, seconds, false)
	}
	took(others[0], instance.StepModelLoaded, 40, false)
	// None of these says anything about a machine of this type with this model,
	// or about a step that was taken to its end.
	sql(t, w.pool, `UPDATE instance.instances SET type = 'SIM-H100-1-80G' WHERE id = $1`, others[3].ID)
	sql(t, w.pool, `UPDATE instance.instances SET model = 'another' WHERE id = $1`, others[4].ID)
	stranger := uuid.New()
	sql(t, w.pool, `INSERT INTO auth.organisations (id, name, slug) VALUES ($1, 'Other', 'other')`, stranger)
	sql(t, w.pool, `UPDATE instance.instances SET organisation_id = $2 WHERE id = $1`, others[5].ID, stranger)
	for _, i := range others[3:] {
		took(i, instance.StepPoweredOn, 1, false)
	}
	took(others[1], instance.StepModelLoaded, 1, true)
	took(rising, instance.StepPoweredOn, 1, false)

	got := usual()
	if u := got[instance.StepPoweredOn]; u.Times != 3 || u.Median.Round(time.Second) != 24*time.Second {
		t.Errorf("switching on usually takes %s, seen %d times; want 24s, 3 times", u.Median, u.Times)
	}
	if u := got[instance.StepModelLoaded]; u.Times != 1 || u.Median.Round(time.Second) != 40*time.Second {
		t.Errorf("loading usually takes %s, seen %d times; want 40s, once", u.Median, u.Times)
	}
	if len(got) != 2 {
		t.Errorf("more is known than was seen: %v", got)
	}
	if d, err := w.Instance(t.Context(), w.org, others[0].Name); err != nil || d.Usual != nil {
		t.Errorf("what is ready waits for nothing: %v, %v", d.Usual, err)
	}
}
