package events

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/db"
)

const (
	kept   = 1024 // events remembered for those who come back
	buffer = 64   // events a subscriber may be behind
)

// Hub spreads the events of the database, and those of this process, to the
// wakers and subscribers of this process. Make it with New.
type Hub struct {
	log     *slog.Logger
	process string // first part of every id

	mu          sync.Mutex
	last        int64 // sequence of the newest event; the first is 1
	ring        [kept]Event
	wakers      map[string][]func()
	subscribers map[*Subscription]struct{}
}

// New returns a hub that spreads local events; Run adds the database's.
func New(log *slog.Logger) *Hub {
	return &Hub{
		log:         log,
		process:     strings.ReplaceAll(uuid.NewString(), "-", "")[:12],
		wakers:      map[string][]func(){},
		subscribers: map[*Subscription]struct{}{},
	}
}

// Run listens to the database at url until ctx ends, then ends every
// subscription.
func (h *Hub) Run(ctx context.Context, url string) {
	listener := db.Listener{
		URL: url, Channel: channel, Log: h.log,
		Notify:    func(payload string) { h.notified(ctx, payload) },
		Connected: h.connected,
	}
	listener.Run(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subscribers {
		h.drop(s)
	}
}

func (h *Hub) notified(ctx context.Context, payload string) {
	var e Event
	if err := json.Unmarshal([]byte(payload), &e); err != nil || e.Topic == "" {
		h.log.WarnContext(ctx, "event not understood", "payload", payload)
		return
	}
	h.Publish(e)
}

// connected considers everything changed.
func (h *Hub) connected() {
	h.Publish(Event{Topic: Reset})
	h.mu.Lock()
	var all []func()
	for _, wakers := range h.wakers {
		all = append(all, wakers...)
	}
	h.mu.Unlock()
	for _, wake := range all {
		wake()
	}
}

// On has wake called after each event of the topic and after each
// (re)connection to the database. wake must not block: a loop's Wake is made
// for it.
func (h *Hub) On(topic string, wake func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wakers[topic] = append(h.wakers[topic], wake)
}

// Publish spreads e in this process only and never blocks.
func (h *Hub) Publish(e Event) {
	h.mu.Lock()
	h.last++
	h.ring[h.last%kept] = e
	message := Message{ID: h.id(h.last), Event: e}
	for s := range h.subscribers {
		if !s.sees(e) {
			continue
		}
		select {
		case s.messages <- message:
		default:
			h.drop(s) // it comes back with the last id it saw
		}
	}
	wakers := h.wakers[e.Topic]
	h.mu.Unlock()
	for _, wake := range wakers {
		wake()
	}
}

// Message is an event with the id to resume after it.
type Message struct {
	Event

	ID string
}

// Subscription is one reader of events.
type Subscription struct {
	hub          *Hub
	organisation uuid.UUID
	platform     bool
	messages     chan Message
}

// Messages delivers the events in order. It is closed when the reader fell
// behind, when the process ends and by Close.
func (s *Subscription) Messages() <-chan Message { return s.messages }

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.drop(s)
}

func (s *Subscription) sees(e Event) bool {
	if e.Topic == Reset {
		return true
	}
	if e.Organisation == uuid.Nil {
		return s.platform
	}
	return e.Organisation == s.organisation
}

// LastID returns the id of the newest event: a page made now resumes after it.
func (h *Hub) LastID() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.id(h.last)
}

// Subscribe delivers the events of organisation and, with platform, those of
// the platform. With the id of an event seen before it first delivers what came
// after it; when that is not known any more it first delivers one Reset. With
// no id it starts now. The caller closes the subscription.
func (h *Hub) Subscribe(organisation uuid.UUID, platform bool, lastID string) *Subscription {
	s := &Subscription{hub: h, organisation: organisation, platform: platform}
	h.mu.Lock()
	defer h.mu.Unlock()
	var missed []Message
	if seen, known := h.sequence(lastID); known {
		for n := seen + 1; n <= h.last; n++ {
			if e := h.ring[n%kept]; s.sees(e) {
				missed = append(missed, Message{ID: h.id(n), Event: e})
			}
		}
	} else if lastID != "" {
		missed = append(missed, Message{ID: h.id(h.last), Event: Event{Topic: Reset}})
	}
	s.messages = make(chan Message, len(missed)+buffer)
	for _, m := range missed {
		s.messages <- m
	}
	h.subscribers[s] = struct{}{}
	return s
}

// sequence reads an id and reports whether everything after it is remembered.
func (h *Hub) sequence(id string) (int64, bool) {
	digits, ours := strings.CutPrefix(id, h.process+":")
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, ours && err == nil && n <= h.last && n >= max(0, h.last-kept)
}

func (h *Hub) id(n int64) string { return h.process + ":" + strconv.FormatInt(n, 10) }

// drop ends s; the hub is locked.
func (h *Hub) drop(s *Subscription) {
	if _, there := h.subscribers[s]; there {
		delete(h.subscribers, s)
		close(s.messages)
	}
}
