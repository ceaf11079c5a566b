package console

import (
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// purposes says what each loop is for.
var purposes = map[string]string{
	"reconcile":        "moves each instance one step towards what is wanted",
	"scale":            "keeps as many instances as deployments ask for",
	"watch":            "notices nodes that have fallen silent",
	"sweep":            "finds what is billed and nobody wants",
	"retention":        "drops what is older than promised",
	"offers":           "asks providers for prices and stock",
	"mock":             "the simulated cloud: starts and stops its machines",
	"meter":            "turns what providers bill into charges",
	"limits":           "learns of new limits, and leases each process its part of them",
	"routes":           "keeps the gateway’s table of who serves what",
	"usage":            "moves metered requests from the spool into the database",
	"endpoints":        "checks that endpoints answer",
	"canaries":         "has instances without work generate a token",
	"usage partitions": "makes next month’s part of the usage table",
	"sessions":         "drops sessions and links that have ended, and old lines of the audit",
	"api keys":         "learns of new and revoked keys",
	"api key use":      "writes down when keys were used",
}

// getLoops serves GET /loops.
func (p *Console) getLoops(c *echo.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "this process"
	}
	page := views.Loops{Process: host, Version: p.Version, May: allowed(actor(c))}
	for _, l := range p.Loops {
		s := l.Status()
		page.Rows = append(page.Rows, views.LoopRow{
			Name: s.Name, What: purposes[s.Name], State: condition(s, time.Now()), Period: s.Period, Last: s.LastAt, Took: s.LastTook,
			Passes: s.Passes, Moved: s.Moved, Failures: s.Failures, Err: s.LastErr,
		})
	}
	return p.show(c, http.StatusOK, "/loops", page)
}

// condition says how a loop is. It is late when three periods have gone by
// without the end of a pass.
func condition(s loop.Status, now time.Time) string {
	switch {
	case s.LastErr != "":
		return "failing"
	case s.LastAt.IsZero() && s.Running:
		return "running"
	case s.LastAt.IsZero() || now.Sub(s.LastAt) > 3*s.Period+s.LastTook+5*time.Second:
		return "late"
	}
	return "well"
}
