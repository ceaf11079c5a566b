package instance_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

func TestStock_theNextOfferIsTaken(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.knobs(t, mock.Knobs{Stock: map[string]int{"local-1/SIM-L4-1-24G": 0}})
	w.run(t)
	w.deploy(t, "chat", 1, 1, offer1, offer2)
	w.waitReady(t, 1, 20*time.Second)
	if i := w.list(t)[0]; i.Offer.String() != offer2 {
		t.Errorf("it runs on %s", i.Offer)
	}
	w.sameAsInventory(t)
}

func TestStock_nothingInStockWaitsWithReasonAndSentence(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.knobs(t, mock.Knobs{Stock: map[string]int{"SIM-L4-1-24G": 0}})
	w.run(t)
	w.deploy(t, "chat", 1, 1, offer1, offer2)
	eventually(t, 10*time.Second, "the deployment says why it waits", func() bool {
		d, err := w.Deployment(t.Context(), w.org, "chat")
		return err == nil && d.Reason == instance.ReasonOutOfStock && strings.Contains(d.Message, "None of the 2 offers")
	})
	i := w.list(t)[0]
	if i.Deadline == nil || i.State != instance.Provisioning || len(w.list(t)) != 1 {
		t.Errorf("it waits without a deadline or in rows: %+v", w.list(t))
	}
	w.knobs(t, mock.Knobs{})
	sql(t, w.pool, `UPDATE instance.instances SET due_at = now()`)
	w.waitReady(t, 1, 20*time.Second)
}

// Out of stock may be found out at the power-on, too: what was made is deleted
// before another offer is asked.
func TestStock_refusedAtPowerOnLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.knobs(t, mock.Knobs{Failures: map[string]mock.Failure{"power_on": {Count: 1, Kind: instance.KindOutOfStock}}})
	w.run(t)
	w.deploy(t, "chat", 1, 1, offer1, offer2)
	w.waitReady(t, 1, 20*time.Second)
	if i := w.list(t)[0]; i.Offer.String() != offer2 {
		t.Errorf("it runs on %s", i.Offer)
	}
	live := 0
	for _, s := range w.stored(t).Servers {
		if s.GoneAt == nil || s.Volume.GoneAt == nil || s.Address.GoneAt == nil {
			live++
		}
	}
	if live != 1 {
		t.Errorf("%d servers are billed for one instance", live)
	}
	w.sameAsInventory(t)
}

func TestCreate_F03_aLateListingIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *instance.Config) { c.Timing.Grace = 2 * time.Second })
	w.knobs(t, mock.Knobs{
		Delay:    mock.Delay{List: 1000},
		Failures: map[string]mock.Failure{"create": {Count: 1, Late: true}},
	})
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	if n := w.stored(t).Calls["create"]; n != 1 {
		t.Errorf("%d servers were made", n)
	}
	w.sameAsInventory(t)
}

func TestCreate_F06_anErrorWithAServerIsAdopted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.knobs(t, mock.Knobs{Failures: map[string]mock.Failure{"create": {Count: 1, Late: true}}})
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	if n := w.stored(t).Calls["create"]; n != 1 {
		t.Errorf("%d servers were made", n)
	}
}

func TestCreate_anErrorWithoutAServerIsRepeated(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.knobs(t, mock.Knobs{Failures: map[string]mock.Failure{"create": {Count: 2}}})
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	d, err := w.Instance(t.Context(), w.org, w.list(t)[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	absent := 0
	for _, op := range d.Operations {
		if op.Kind == instance.OpCreateServer && op.Status == instance.OpAbsent {
			absent++
		}
	}
	if absent != 2 || w.stored(t).Calls["create"] != 1 {
		t.Errorf("%d requests found absent, %d servers made; want 2, 1", absent, w.stored(t).Calls["create"])
	}
}

func TestDelete_F09_aProviderThatSaysYesAndDoesNothingIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	w.knobs(t, mock.Knobs{Delay: mock.Delay{Delete: 3600_000}})
	w.mustDelete(t, "chat")
	eventually(t, 10*time.Second, "it is terminating", func() bool { return len(w.list(t, instance.Terminating)) == 1 })
	eventually(t, 20*time.Second, "it says that the deletion is slow", func() bool {
		sql(t, w.pool, `UPDATE instance.instances SET state_since = now() - interval '11 minutes', deadline_at = now() - interval '1 minute', due_at = now()
			WHERE deadline_at < state_since + interval '20 minutes'`)
		all := w.list(t, instance.Terminating)
		return len(all) == 1 && all[0].Reason == instance.ReasonDeletionSlow && all[0].Deadline.After(time.Now())
	})
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM instance.resources WHERE gone_at IS NULL`); n != 3 {
		t.Errorf("%d of 3 resources are still billed", n)
	}
}

func TestDefect04_F10_aVolumeInUseIsNotGone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	w.knobs(t, mock.Knobs{Failures: map[string]mock.Failure{"delete": {Count: 4, Kind: instance.KindTransient, Text: "The volume is in use."}}})
	w.mustDelete(t, "chat")
	eventually(t, 20*time.Second, "it is terminated", func() bool { return len(w.list(t, instance.Terminated)) == 1 })
	w.sameAsInventory(t)
	w.nothingLeft(t)
}

func TestReady_F11_deletedByHandIsNoticedAndReplaced(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	old := w.list(t)[0]
	if err := w.cloud.Remove(ctx, old.ServerID); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "another one serves", func() bool {
		all := w.list(t, instance.Ready)
		return len(all) == 1 && all[0].ID != old.ID && len(w.list(t, instance.Terminated)) == 1
	})
	d, err := w.Instance(ctx, w.org, old.Name)
	if err != nil {
		t.Fatal(err)
	}
	last := d.Transitions[len(d.Transitions)-2]
	if last.From != instance.Ready || last.To != instance.Terminating || last.Reason != instance.ReasonProviderDeleted {
		t.Errorf("it went %s → %s for %s", last.From, last.To, last.Reason)
	}
	w.sameAsInventory(t)
}

func TestDefect14_aProviderThatRefusesUsSaysNothingAboutServers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	w.knobs(t, mock.Knobs{Failures: map[string]mock.Failure{
		"server": {Probability: 1, Kind: instance.KindDenied}, "list": {Probability: 1, Kind: instance.KindThrottled},
	}})
	seen := func() int { return w.failed(t)["server"] }
	eventually(t, 10*time.Second, "the server was asked for", func() bool { return seen() >= 3 })
	if len(w.list(t, instance.Ready)) != 1 {
		t.Errorf("a refused question ended it: %+v", w.list(t))
	}
}

func TestTerminate_F12_whileItStarts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.knobs(t, mock.Knobs{Delay: mock.Delay{Boot: 60_000}})
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	eventually(t, 10*time.Second, "it boots", func() bool { return len(w.list(t, instance.Booting)) == 1 })
	begin := time.Now()
	w.mustDelete(t, "chat")
	eventually(t, 5*time.Second, "it is terminated", func() bool { return len(w.list(t, instance.Terminated)) == 1 })
	t.Logf("gone in %s", time.Since(begin))
	w.sameAsInventory(t)
}

func TestDefect27_aDeadlineEndsWhatWaitsAndCleansUp(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *instance.Config) { c.Timing.Backoff = time.Hour })
	w.knobs(t, mock.Knobs{Delay: mock.Delay{Boot: 3600_000}})
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	eventually(t, 10*time.Second, "it boots", func() bool { return len(w.list(t, instance.Booting)) == 1 })
	eventually(t, 10*time.Second, "it has failed and costs nothing", func() bool {
		sql(t, w.pool, `UPDATE instance.instances SET deadline_at = now(), due_at = now() WHERE state = 'booting'`)
		all := w.list(t, instance.StartupFailed)
		return len(all) == 1 && all[0].Reason == instance.ReasonBootTimeout && all[0].Deadline == nil
	})
	w.sameAsInventory(t)
	w.nothingLeft(t)
	eventually(t, 10*time.Second, "the deployment says so", func() bool {
		d, err := w.Deployment(t.Context(), w.org, "chat")
		return err == nil && d.Reason == instance.ReasonReplicasFailing && d.Message != ""
	})

	w.knobs(t, mock.Knobs{})
	failed := w.list(t)[0]
	if _, err := w.StopDeployment(t.Context(), w.actor, "chat"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Retry(t.Context(), w.actor, failed.Name); !fault.Is(err, fault.Conflict) {
		t.Errorf("Retry for a stopped deployment = %v", err)
	}
	sql(t, w.pool, `UPDATE instance.deployments SET stopped = false, due_at = now() + interval '1 hour'`)
	sql(t, w.pool, `UPDATE instance.instances SET reinstall = true`) // asked of the server that is gone
	if _, err := w.Retry(t.Context(), w.actor, failed.Name); err != nil {
		t.Fatalf("Retry = %v", err)
	}
	w.waitReady(t, 1, 20*time.Second)
	if i := w.list(t)[0]; i.ID != failed.ID || i.Generation != 2 {
		t.Errorf("the attempt is %s of generation %d", i.Name, i.Generation)
	}
}

func TestReinstall_keepsTheServerAndRefusesTheOldAgent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	before := w.list(t)[0]
	if _, err := w.Reinstall(t.Context(), w.actor, before.Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "it serves again", func() bool {
		all := w.list(t, instance.Ready)
		return len(all) == 1 && all[0].Generation == 2
	})
	after := w.list(t)[0]
	if after.ServerID != before.ServerID || w.stored(t).Calls["create"] != 1 {
		t.Errorf("server %s became %s", before.ServerID, after.ServerID)
	}
}

func TestReinstall_needsAServer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.deploy(t, "chat", 1, 1)
	if _, err := w.ScalePass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reinstall(t.Context(), w.actor, w.list(t)[0].Name); !fault.Is(err, fault.Conflict) {
		t.Errorf("Reinstall of what has no server = %v, want a conflict", err)
	}
	if scalar[bool](t, w.pool, `SELECT reinstall FROM instance.instances`) {
		t.Error("the refusal left the wish")
	}
}

func TestScale_downDrainsThenTerminates(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 2, 2)
	w.waitReady(t, 2, 30*time.Second)
	if _, err := w.Scale(t.Context(), w.actor, "chat", 1, 1, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "one is left", func() bool {
		return len(w.list(t, instance.Ready)) == 1 && len(w.list(t, instance.Terminated)) == 1
	})
	d, err := w.Instance(t.Context(), w.org, w.list(t, instance.Terminated)[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	var path []string
	for _, tr := range d.Transitions {
		path = append(path, string(tr.To)+" "+string(tr.Reason))
	}
	want := "ready , draining scaled_down, terminating drained, terminated deleted"
	if got := strings.Join(path, ", "); !strings.HasSuffix(got, want) {
		t.Errorf("it went %s; want … %s", got, want)
	}
}

func TestReplace_servesUntilTheNewOneIsReady(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	old := w.list(t)[0]
	if _, err := w.Replace(t.Context(), w.actor, old.Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "another one serves and the old one is gone", func() bool {
		routes, _, err := w.Routes(t.Context())
		if err != nil || len(routes) == 0 {
			t.Fatalf("nothing serves meanwhile: %v", err)
		}
		ready, gone := w.list(t, instance.Ready), w.list(t, instance.Terminated)
		return len(ready) == 1 && ready[0].ID != old.ID && len(gone) == 1
	})
}

func TestArchive_onlyWhatIsTerminated(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	name := w.list(t)[0].Name
	if _, err := w.Archive(ctx, w.actor, name); !fault.Is(err, fault.Conflict) {
		t.Errorf("Archive of a ready instance = %v", err)
	}
	w.mustDelete(t, "chat")
	eventually(t, 10*time.Second, "it is terminated", func() bool { return len(w.list(t, instance.Terminated)) == 1 })
	sql(t, w.pool, `UPDATE instance.instances SET generation = 3`)
	if i, err := w.Archive(ctx, w.actor, name); err != nil || i.State != instance.Archived || i.Generation != 3 {
		t.Errorf("Archive = %s of generation %d, %v", i.State, i.Generation, err)
	}
	if len(w.list(t)) != 0 {
		t.Error("an archived instance is listed")
	}
}

// The agents of the mock cloud outlive the control plane that started them and
// are found again, by pid and start time.
func TestRestart_theInstanceServesAgainWithoutANewJoin(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	w.deploy(t, "chat", 1, 1)
	w.waitReady(t, 1, 20*time.Second)
	i := w.list(t)[0]
	joined := scalar[time.Time](t, w.pool, `SELECT join_used_at FROM instance.nodes`)
	again := newCloudAt(t, filepath.Join(w.dir, "mock"))
	if n, err := again.Supervise(t.Context()); n != 0 || err != nil {
		t.Errorf("Supervise = %d, %v; want the agent found alive", n, err)
	}
	if err := again.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := again.Supervise(t.Context()); n != 1 || err != nil {
		t.Fatalf("Supervise = %d, %v; want one agent started", n, err)
	}
	beat := scalar[time.Time](t, w.pool, `SELECT now()`)
	eventually(t, 10*time.Second, "the node reports again", func() bool {
		return scalar[time.Time](t, w.pool, `SELECT heartbeat_at FROM instance.nodes`).After(beat)
	})
	if scalar[time.Time](t, w.pool, `SELECT join_used_at FROM instance.nodes`) != joined || w.list(t)[0].ID != i.ID {
		t.Error("it joined anew")
	}
}
