package console

import (
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

func TestEstimate_saysOnlyWhatThePastSays(t *testing.T) {
	t.Parallel()
	now := time.Now()
	median := func(d time.Duration) instance.Usual { return instance.Usual{Median: d, Times: 3} }
	usual := map[instance.Step]instance.Usual{
		instance.StepPoweredOn: median(21 * time.Second), instance.StepModelLoaded: median(2 * time.Minute),
		instance.StepFirstToken: {Median: 40 * time.Second, Times: 1}, instance.StepReady: median(30 * time.Millisecond),
	}
	steps := func(loading time.Duration, last string) []views.Step {
		return []views.Step{
			{Code: "powered_on", State: "done"}, {Code: "address_known", State: "done"},
			{Code: "model_loaded", State: "now", Started: now.Add(-loading)},
			{Code: "first_token", State: "todo"}, {Code: last, State: "todo"},
		}
	}
	for name, c := range map[string]struct {
		steps []views.Step
		usual map[instance.Step]instance.Usual
		left  time.Duration
		words [5]string
	}{
		"on its way": {
			steps(30*time.Second, "ready"), usual, 90*time.Second + 40*time.Second + 30*time.Millisecond,
			[5]string{"usually 21 s", "", "usually 2 min 0 s", "last time 40 s", ""},
		},
		"a little late": {
			steps(150*time.Second, "ready"), usual, 40*time.Second + 30*time.Millisecond,
			[5]string{"usually 21 s", "", "usually 2 min 0 s", "last time 40 s", ""},
		},
		"far too late": {
			steps(5*time.Minute, "ready"), usual, 0,
			[5]string{"usually 21 s", "", "longer than the usual 2 min 0 s", "last time 40 s", ""},
		},
		"a step nobody has seen": {
			steps(30*time.Second, "verified"), usual, 0,
			[5]string{"usually 21 s", "", "usually 2 min 0 s", "last time 40 s", ""},
		},
		"the first of its kind": {steps(30*time.Second, "ready"), nil, 0, [5]string{}},
	} {
		if left := estimate(c.steps, c.usual, now); left != c.left {
			t.Errorf("%s: %s left, want %s", name, left, c.left)
		}
		for i, want := range c.words {
			if got := c.steps[i].Usual; got != want {
				t.Errorf("%s: %s says %q, want %q", name, c.steps[i].Code, got, want)
			}
		}
	}
}
