package instance_test

import (
	"context"
	"testing"
)

// A process that was paused beyond its lease comes back while another makes the
// pass: it gives back nothing of the other's.
func TestAlone_aLateHolderEndsNobodyElsesLease(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	held := func() bool {
		t.Helper()
		return scalar[bool](t, w.pool, `SELECT lease_until > now() FROM instance.passes WHERE name = 'x'`)
	}
	made := 0
	pass := func(during func()) {
		t.Helper()
		n, err := w.Alone(ctx, "x", 0, func(context.Context) (int, error) {
			made++
			during()
			return 1, nil
		})
		if err != nil || n > 1 {
			t.Errorf("Alone = %d, %v", n, err)
		}
	}
	pass(func() {
		pass(func() { t.Error("two made the pass at once") })
		sql(t, w.pool, `UPDATE instance.passes SET lease_until = now() - interval '1 second'`) // it was paused
		sql(t, w.pool, `UPDATE instance.passes SET lease_until = now() + interval '1 minute'`) // and another took over
	})
	if !held() {
		t.Error("the late one ended the other's lease")
	}
	sql(t, w.pool, `UPDATE instance.passes SET lease_until = 'epoch'`)
	pass(func() {})
	if held() || made != 2 {
		t.Errorf("after %d passes it is held: %t", made, held())
	}
}
