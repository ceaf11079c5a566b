package api

import (
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
)

// maxPeriod is how long a period may be that is added up.
const maxPeriod = 366 * 24 * time.Hour

// period returns from and to with what is left out filled in: until now, and
// from the first of the month.
func period(from, to time.Time) (time.Time, time.Time, error) {
	if to.IsZero() {
		to = time.Now().UTC()
	}
	if from.IsZero() {
		from = time.Date(to.Year(), to.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	if !from.Before(to) {
		return from, to, badParameter("from", "it must be before to")
	}
	if to.Sub(from) > maxPeriod {
		return from, to, badParameter("from", "a period has at most 366 days")
	}
	return from, to, nil
}

func readCursor(text string) (gateway.Position, error) {
	p, ok := gateway.ParsePosition(text)
	if !ok {
		return p, badParameter("cursor", "send next_cursor of the page before as it is")
	}
	return p, nil
}
