package console

import (
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// estimate writes beside each step how long it usually takes, and returns how
// long is left until the instance is ready. It returns 0, nothing is said, when
// a step still to be taken was never taken before, or when the present one
// takes so much longer than usual that the past says nothing about its end.
func estimate(steps []views.Step, usual map[instance.Step]instance.Usual, now time.Time) time.Duration {
	var ahead []instance.Step
	var spent time.Duration
	for i, s := range steps {
		step := instance.Step(s.Code)
		late := false
		switch s.State {
		case "now":
			spent = now.Sub(s.Started)
			late = usual[step].Late(spent)
			ahead = append(ahead, step)
		case "todo":
			ahead = append(ahead, step)
		}
		if u, known := usual[step]; known {
			steps[i].Usual = usually(u, late)
		}
	}
	return instance.Remaining(usual, ahead, spent)
}

// usually words how long a step took before; what takes no time needs no word.
func usually(u instance.Usual, late bool) string {
	took := views.Took(u.Median)
	switch {
	case late && u.Times == 1:
		return "longer than last time, " + took
	case late:
		return "longer than the usual " + took
	case u.Median < time.Second:
		return ""
	case u.Times == 1:
		return "last time " + took
	}
	return "usually " + took
}
