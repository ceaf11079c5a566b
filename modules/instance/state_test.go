package instance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// The table is written down a second time, by hand: a change of it is a
// decision, not an accident.
func TestStates_whatMayFollowWhat(t *testing.T) {
	t.Parallel()
	want := map[instance.State]string{
		instance.Provisioning:       "booting terminating provisioning_failed failed",
		instance.Booting:            "installing terminating startup_failed failed",
		instance.Installing:         "booting starting terminating startup_failed failed",
		instance.Starting:           "booting ready terminating startup_failed failed",
		instance.Ready:              "booting draining terminating",
		instance.Draining:           "terminating",
		instance.Terminating:        "terminated",
		instance.Terminated:         "archived",
		instance.Archived:           "",
		instance.ProvisioningFailed: "provisioning terminating",
		instance.StartupFailed:      "provisioning terminating",
		instance.Failed:             "provisioning terminating",
	}
	if len(want) != len(instance.States()) {
		t.Fatalf("%d states, want %d", len(instance.States()), len(want))
	}
	for _, from := range instance.States() {
		var may []string
		for _, to := range instance.States() {
			if from.May(to) {
				may = append(may, string(to))
			}
		}
		if got := strings.Join(may, " "); got != want[from] {
			t.Errorf("%s may go to %q, want %q", from, got, want[from])
		}
	}
}

func TestStates_everyStateThatWaitsHasADeadlineAndASentence(t *testing.T) {
	t.Parallel()
	restful := []instance.State{instance.Ready, instance.Terminated, instance.Archived}
	for _, s := range instance.States() {
		if waits := s.Deadline() > 0; waits == slices.Contains(restful, s) {
			t.Errorf("%s has the deadline %s", s, s.Deadline())
		}
		if !strings.HasSuffix(s.Sentence(), ".") {
			t.Errorf("%s says %q", s, s.Sentence())
		}
	}
}

func TestReasons_eachHasASentence(t *testing.T) {
	t.Parallel()
	for reason, text := range instance.Sentences() {
		if len(text) < 20 || !strings.HasSuffix(text, ".") || strings.ToUpper(text[:1]) != text[:1] {
			t.Errorf("%s says %q", reason, text)
		}
	}
}

func TestSteps_progressIsThatOfCompleteSteps(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range instance.Steps() {
		got = append(got, fmt.Sprintf("%s %d", s, s.Progress()))
	}
	want := []string{
		"requested 5", "server_created 20", "volume_ready 25", "powered_on 30", "address_known 40", "network_secured 45",
		"reachable 50", "agent_installed 60", "engine_http 70", "model_loaded 80", "first_token 90", "verified 95", "ready 100",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	up := func(name string) instance.TestReplica {
		return instance.TestReplica{Name: name, State: instance.Ready, Desired: instance.WantReady}
	}
	in := func(name string, s instance.State, d instance.Desired) instance.TestReplica {
		return instance.TestReplica{Name: name, State: s, Desired: d}
	}
	for name, tc := range map[string]struct {
		low, high int
		stopped   bool
		failures  int
		ago       time.Duration
		replicas  []instance.TestReplica
		launch    int
		end       map[string]instance.Desired
		reason    instance.Reason
	}{
		"nothing there":                  {low: 2, high: 3, launch: 2, reason: instance.ReasonReplicasStarting},
		"as wanted":                      {low: 1, high: 2, replicas: []instance.TestReplica{up("a")}},
		"between the bounds":             {low: 1, high: 3, replicas: []instance.TestReplica{up("a"), up("b"), up("c")}},
		"none wanted":                    {low: 0, high: 1, reason: instance.ReasonAsleep},
		"none wanted, one serves":        {low: 0, high: 1, replicas: []instance.TestReplica{up("a")}, reason: instance.ReasonAwake},
		"none wanted, one is on its way": {low: 0, high: 1, replicas: []instance.TestReplica{in("a", instance.Booting, instance.WantReady)}},
		"one is on its way": {
			low: 1, high: 1, replicas: []instance.TestReplica{in("a", instance.Booting, instance.WantReady)},
			reason: instance.ReasonReplicasStarting,
		},
		"what does not serve goes first": {
			low: 1, high: 1, replicas: []instance.TestReplica{up("a"), in("b", instance.Starting, instance.WantReady)},
			end: map[string]instance.Desired{"b": instance.WantTerminated},
		},
		"the youngest that serves drains": {
			low: 1, high: 1, replicas: []instance.TestReplica{up("a"), up("b")},
			end: map[string]instance.Desired{"b": instance.WantDrained},
		},
		"stopped": {
			low: 2, high: 2, stopped: true, replicas: []instance.TestReplica{up("a"), in("b", instance.Booting, instance.WantReady)},
			end:    map[string]instance.Desired{"a": instance.WantDrained, "b": instance.WantTerminated},
			reason: instance.ReasonDeploymentStopping,
		},
		"stopped and empty": {low: 2, high: 2, stopped: true, reason: instance.ReasonDeploymentStopped},
		"failed ones do not count": {
			low: 1, high: 1, replicas: []instance.TestReplica{in("a", instance.StartupFailed, instance.WantReady)},
			launch: 1, reason: instance.ReasonReplicasStarting,
		},
		"ending ones do not count": {
			low: 1, high: 1, replicas: []instance.TestReplica{in("a", instance.Terminating, instance.WantTerminated)},
			launch: 1, reason: instance.ReasonReplicasStarting,
		},
		"failing waits": {low: 1, high: 1, failures: 3, ago: 30 * time.Second, reason: instance.ReasonReplicasFailing},
		"failing tries again": {
			low: 1, high: 1, failures: 3, ago: 61 * time.Second, launch: 1, reason: instance.ReasonReplicasStarting,
		},
		"defect 27: it never stops trying": {
			low: 1, high: 1, failures: 5000, ago: 31 * time.Minute, launch: 1, reason: instance.ReasonReplicasStarting,
		},
		"replaced serves until there is another": {
			low: 1, high: 1, replicas: []instance.TestReplica{in("a", instance.Ready, instance.WantReplaced)},
			launch: 1, reason: instance.ReasonReplicasStarting,
		},
		"replaced drains then": {
			low: 1, high: 1, replicas: []instance.TestReplica{in("a", instance.Ready, instance.WantReplaced), up("b")},
			end: map[string]instance.Desired{"a": instance.WantDrained},
		},
		"trouble is told": {
			low: 1, high: 1, replicas: []instance.TestReplica{{
				Name: "a", State: instance.Provisioning, Desired: instance.WantReady, Reason: instance.ReasonOutOfStock,
			}},
			reason: instance.ReasonOutOfStock,
		},
	} {
		launch, end, reason := instance.Plan(tc.low, tc.high, tc.stopped, tc.failures, now.Add(-tc.ago), now, tc.replicas)
		if tc.end == nil {
			tc.end = map[string]instance.Desired{}
		}
		if launch != tc.launch || reason != tc.reason || !cmp.Equal(end, tc.end) {
			t.Errorf("%s: launch %d, end %v, reason %q; want %d, %v, %q", name, launch, end, reason, tc.launch, tc.end, tc.reason)
		}
	}
}
