package agent

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/journal"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// maxEvents bounds each of the two files of the event log, in bytes.
const maxEvents = 5 << 20

// event is one line of the event log.
type event struct {
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"` // lower_case, for programs
	Text     string    `json:"text"` // a sentence
	Instance uuid.UUID `json:"instance"`
}

// events is the node's event log. Each event is also a line of the process's
// log.
type events struct {
	instance uuid.UUID
	log      *slog.Logger
	file     *journal.Journal
}

// add records what happened.
func (e *events) add(kind, text string) {
	text = wire.Clean(text, 4<<10)
	e.log.Info("node event", "kind", kind, "text", text)
	raw, err := json.Marshal(event{time.Now().UTC(), kind, text, e.instance})
	if err == nil {
		err = e.file.Add(raw)
	}
	if err != nil {
		e.log.Error("event not recorded", "err", err)
	}
}

// tail returns the last n events that are not older than since.
func (e *events) tail(n int, since time.Time) ([][]byte, error) {
	if since.IsZero() {
		return e.file.Tail(n, nil)
	}
	return e.file.Tail(n, func(line []byte) bool {
		var one event
		return json.Unmarshal(line, &one) == nil && !one.Time.Before(since)
	})
}

// repeated keeps an event that happens again and again from filling the log:
// the first one is told, then one of each ten minutes.
type repeated struct {
	events *events
	kind   string

	mu   sync.Mutex
	last string
	at   time.Time
}

func (r *repeated) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text == r.last && time.Since(r.at) < 10*time.Minute {
		return
	}
	r.last, r.at = text, time.Now()
	r.events.add(r.kind, text)
}

// over says that it does not happen any more: the next one is told at once.
func (r *repeated) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = ""
}
