package instance_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// wakes asks for the model's waking and reports whether this was the one.
func (w *world) wakes(t *testing.T, actor auth.Actor) bool {
	t.Helper()
	woken, err := w.Wake(t.Context(), actor, simChat)
	if err != nil {
		t.Fatal(err)
	}
	return woken
}

func (w *world) scaled(t *testing.T) {
	t.Helper()
	sql(t, w.pool, `UPDATE instance.deployments SET due_at = now()`)
	if _, err := w.ScalePass(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWake_ofAThousandOneDoes asks two services on one database at once.
func TestWake_ofAThousandOneDoes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.deploy(t, "chat", 0, 3)
	w.deploy(t, "another", 0, 3)
	other, err := instance.New(t.Context(), config(w.pool, w.ring, w.cloud, w.endpoint))
	if err != nil {
		t.Fatal(err)
	}
	w.scaled(t)
	if n := len(w.list(t)); n != 0 {
		t.Fatalf("%d instances of what sleeps", n)
	}
	var woken atomic.Int64
	var all sync.WaitGroup
	for n := range 1000 {
		s := w.Service
		if n%2 == 0 {
			s = other
		}
		all.Go(func() {
			did, err := s.Wake(t.Context(), w.actor, simChat)
			if err != nil {
				t.Error(err)
			}
			if did {
				woken.Add(1)
				_, _ = s.ScalePass(t.Context()) // as its loop does
			}
		})
	}
	all.Wait()
	for _, s := range []*instance.Service{w.Service, other} {
		all.Go(func() { _, _ = s.ScalePass(t.Context()) })
	}
	all.Wait()
	w.scaled(t)
	audits := scalar[int](t, w.pool, `SELECT count(*) FROM auth.audit WHERE action = 'deployment.wake'`)
	if instances := w.list(t); woken.Load() != 1 || len(instances) != 1 || instances[0].Deployment != "chat" || audits != 1 {
		t.Errorf("woken %d times, %d instances, %d lines in the audit; want one of each, of the older deployment", woken.Load(), len(instances), audits)
	}
}

func TestWake_onlyWhatSleeps(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stranger := uuid.New()
	sql(t, w.pool, `INSERT INTO auth.organisations (id, name, slug) VALUES ($1, 'Other', 'other')`, stranger)
	w.deploy(t, "chat", 0, 1)
	if w.wakes(t, auth.System(stranger)) {
		t.Error("another organisation wakes it")
	}
	if _, err := w.StopDeployment(t.Context(), w.actor, "chat"); err != nil {
		t.Fatal(err)
	}
	if w.wakes(t, w.actor) {
		t.Error("what was stopped on purpose is woken")
	}
	w.deploy(t, "steady", 1, 1)
	if _, err := w.StartDeployment(t.Context(), w.actor, "chat"); err != nil { // wakes it
		t.Fatal(err)
	}
	w.scaled(t)
	if n := len(w.list(t)); n != 2 {
		t.Errorf("%d instances, want one of each", n)
	}
	for _, name := range []string{"steady", "chat"} {
		if w.wakes(t, w.actor) {
			t.Errorf("woken beside %s, which is awake", name)
		}
		if err := w.DeleteDeployment(t.Context(), w.actor, name); err != nil {
			t.Fatal(err)
		}
	}
	if w.wakes(t, w.actor) {
		t.Error("what is deleted is woken")
	}
}

func TestSleep_whatNobodyUses(t *testing.T) {
	t.Parallel()
	const ago = `UPDATE instance.deployments SET used_at = now() - make_interval(mins => $1)`
	for name, c := range map[string]struct {
		low, idle   int
		state       instance.State
		used, since int // minutes ago
		sleeps      bool
	}{
		"idle":                    {0, 15, instance.Ready, 17, 17, true},
		"idle for almost as long": {0, 15, instance.Ready, 15, 17, false}, // what was used may not be known yet
		"used":                    {0, 15, instance.Ready, 3, 60, false},
		"ready since just now":    {0, 15, instance.Ready, 60, 3, false},
		"on its way":              {0, 15, instance.Starting, 60, 60, false},
		"never sleeps":            {0, 0, instance.Ready, 6000, 6000, false},
		"always kept":             {1, 15, instance.Ready, 6000, 6000, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			d, err := w.Deploy(t.Context(), w.actor, instance.DeployRequest{
				Name: "chat", Model: simChat, Offers: []string{offer1}, Min: c.low, Max: 2, Idle: &c.idle,
			})
			if err != nil || d.Idle != c.idle {
				t.Fatalf("Deploy = %+v, %v", d, err)
			}
			if w.wakes(t, w.actor) != (c.low == 0) {
				t.Fatal("woken, or not")
			}
			w.scaled(t)
			sql(t, w.pool, `UPDATE instance.instances SET state = $1, state_since = now() - make_interval(mins => $2)`, string(c.state), c.since)
			sql(t, w.pool, ago, c.used)
			w.scaled(t)
			desired := scalar[string](t, w.pool, `SELECT desired || desired_reason FROM instance.instances`)
			d, err = w.Deployment(t.Context(), w.org, "chat")
			if err != nil {
				t.Fatal(err)
			}
			if asleep := desired == "drainedidle" && d.Reason == instance.ReasonAsleep; asleep != c.sleeps {
				t.Errorf("the instance is to be %q, the deployment %q", desired, d.Reason)
			}
			if awake := d.Reason == instance.ReasonAwake; awake != (c.low == 0 && c.state == instance.Ready && !c.sleeps) {
				t.Errorf("the deployment is %q: %s", d.Reason, d.Message)
			}
			if d.Reason == instance.ReasonAwake && (c.idle > 0) != (d.Message == "Awake until nobody has used it for 15 minutes.") {
				t.Errorf("with %d minutes it says %q", c.idle, d.Message)
			}
			if w.scaled(t); len(w.list(t)) != 1 {
				t.Error("another instance is launched")
			}
		})
	}
}

func TestSleep_whatFailsToWakeIsGivenUp(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.deploy(t, "chat", 0, 1)
	w.wakes(t, w.actor)
	w.scaled(t)
	sql(t, w.pool, `UPDATE instance.instances SET state = 'startup_failed'`)
	sql(t, w.pool, `UPDATE instance.deployments SET used_at = now() - interval '17 minutes'`)
	w.scaled(t)
	w.scaled(t)
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM instance.instances`); n != 1 {
		t.Errorf("%d instances for a request that nobody waits for any more", n)
	}
	if !w.wakes(t, w.actor) {
		t.Error("it cannot be woken again")
	}
}

func TestUsed_isWrittenNowAndThen(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.deploy(t, "chat", 1, 1)
	w.deploy(t, "unused", 1, 1)
	w.scaled(t)
	var ids []uuid.UUID
	for _, i := range w.list(t) {
		if i.Deployment == "chat" {
			ids = append(ids, i.ID)
		}
	}
	used := func(ago string) bool {
		t.Helper()
		sql(t, w.pool, `UPDATE instance.deployments SET used_at = now() - $1::interval`, ago)
		before := scalar[time.Time](t, w.pool, `SELECT used_at FROM instance.deployments WHERE name = 'chat'`)
		if err := w.Used(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
		if !scalar[bool](t, w.pool, `SELECT used_at < now() - $1::interval + interval '2 s' FROM instance.deployments WHERE name = 'unused'`, ago) {
			t.Error("one that was not used is")
		}
		return scalar[time.Time](t, w.pool, `SELECT used_at FROM instance.deployments WHERE name = 'chat'`).After(before)
	}
	if used("10 s") {
		t.Error("it is written again after 10 s")
	}
	if !used("30 s") {
		t.Error("it is not written after 30 s")
	}
	// Who decides about the deployment at this moment is not waited for.
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM instance.deployments FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	if err := w.Used(t.Context(), ids); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRoutes_sayWhatIsTheCaseWithWhatSleeps(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := func(state string) instance.Sleeping {
		t.Helper()
		_, sleeping, err := w.Routes(t.Context())
		if err != nil || len(sleeping) != 1 || sleeping[0].Organisation != w.org || sleeping[0].Model != simChat || sleeping[0].State != state {
			t.Fatalf("Routes = %+v, %v; want %s", sleeping, err, state)
		}
		return sleeping[0]
	}
	w.deploy(t, "chat", 0, 1)
	now(instance.SleepAsleep)
	w.scaled(t)
	now(instance.SleepAsleep)
	w.wakes(t, w.actor)
	if s := now(instance.SleepWaking); s.Left != 0 || s.Message != instance.ReasonReplicasStarting.Sentence() {
		t.Errorf("before there is an instance: %+v", s)
	}
	w.scaled(t)
	one := w.list(t)[0]
	if s := now(instance.SleepWaking); s.Left != 0 || s.Message != "The instance "+one.Name+" is provisioning: "+instance.Provisioning.Sentence() {
		t.Errorf("the first of its kind: %+v", s)
	}
	// Another one has taken each step, ten seconds each.
	if _, err := w.Deploy(t.Context(), w.actor, instance.DeployRequest{Name: "past", Model: simChat, Offers: []string{offer1}, Min: 1}); err != nil {
		t.Fatal(err)
	}
	w.scaled(t)
	past := scalar[uuid.UUID](t, w.pool, `SELECT id FROM instance.instances WHERE id <> $1`, one.ID)
	sql(t, w.pool, `UPDATE instance.instances SET ready_at = now() WHERE id = $1`, past)
	sql(t, w.pool, `DELETE FROM instance.steps WHERE instance_id = $1`, past)
	for _, step := range instance.Steps() {
		sql(t, w.pool, `INSERT INTO instance.steps (instance_id, generation, step, started_at, ended_at, failed)
			VALUES ($1, 1, $2, now() - interval '10 s', now(), false)`, past, string(step))
	}
	if err := w.DeleteDeployment(t.Context(), w.actor, "past"); err != nil {
		t.Fatal(err)
	}
	sql(t, w.pool, `UPDATE instance.steps SET started_at = now() - interval '4 s' WHERE instance_id = $1 AND ended_at IS NULL`, one.ID)
	if s := now(instance.SleepWaking); s.Left.Round(time.Second) != 116*time.Second { // 12 steps of 10 s, 4 s of the first have passed
		t.Errorf("with a past: %+v", s)
	}
	sql(t, w.pool, `UPDATE instance.steps SET started_at = now() - interval '1 hour' WHERE instance_id = $1 AND ended_at IS NULL`, one.ID)
	if s := now(instance.SleepWaking); s.Left != 0 {
		t.Errorf("far too late: %+v", s)
	}
	sql(t, w.pool, `UPDATE instance.instances SET state = 'ready' WHERE id = $1`, one.ID)
	if s := now(instance.SleepWaking); s.Left != 0 || !strings.Contains(s.Message, "not heard from") {
		t.Errorf("ready, but silent: %+v", s)
	}
	sql(t, w.pool, `UPDATE instance.instances SET eligibility = 'cordoned' WHERE id = $1`, one.ID)
	now(instance.SleepCordoned)
	sql(t, w.pool, `UPDATE instance.instances SET state = 'starting', eligibility = 'eligible' WHERE id = $1`, one.ID)
	sql(t, w.pool, `UPDATE instance.deployments SET min_replicas = 1 WHERE name = 'chat'`)
	now(instance.SleepStarting)
	if _, err := w.StopDeployment(t.Context(), w.actor, "chat"); err != nil {
		t.Fatal(err)
	}
	now(instance.SleepStopped)
	w.deploy(t, "second", 0, 1) // of two, what promises more
	now(instance.SleepAsleep)
}

func TestScale_idleTimes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if d := w.deploy(t, "chat", 0, 1); d.Idle != instance.DefaultIdle {
		t.Errorf("by default asleep after %d minutes", d.Idle)
	}
	for _, idle := range []int{-1, 43201} {
		if _, err := w.Scale(t.Context(), w.actor, "chat", 0, 1, &idle); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "minutes") {
			t.Errorf("%d minutes: %v", idle, err)
		}
	}
	for _, c := range []struct {
		idle *int
		want int
	}{{new(90), 90}, {nil, 90}, {new(0), 0}} {
		if d, err := w.Scale(t.Context(), w.actor, "chat", 0, 1, c.idle); err != nil || d.Idle != c.want {
			t.Errorf("Scale = %d minutes, %v; want %d", d.Idle, err, c.want)
		}
	}
}
