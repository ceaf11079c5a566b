package api

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
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

// A cursor is where a page of records ended: its time in microseconds and its id.
const cursorBytes = 8 + 16

func cursor(r gateway.Record) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.StartedAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, r.RequestID[:]...))
}

func readCursor(text string) (gateway.Position, error) {
	if text == "" {
		return gateway.Position{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorBytes {
		return gateway.Position{}, fault.New(fault.Invalid, "The cursor cannot be read.").
			WithKind(web.KindInvalidParameter).WithField("cursor").WithFix("Send next_cursor of the page before as it is.")
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
	if at.Year() < 2000 || at.Year() > 9999 {
		return gateway.Position{}, badParameter("cursor", "send next_cursor of the page before as it is")
	}
	return gateway.Position{At: at, ID: uuid.UUID(b[8:])}, nil
}
