package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
)

var (
	ours   = uuid.MustParse("018f0000-0000-7000-8000-000000000001")
	theirs = uuid.MustParse("018f0000-0000-7000-8000-000000000002")
	quiet  = slog.New(slog.DiscardHandler)
)

// waiting returns what is ready to be read, without waiting for more.
func waiting(s *events.Subscription) []events.Message {
	var all []events.Message
	for {
		select {
		case m, open := <-s.Messages():
			if !open {
				return all
			}
			all = append(all, m)
		default:
			return all
		}
	}
}

// keys are the topics and keys of the messages.
func keys(messages []events.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Topic+" "+m.Key)
	}
	return all
}

func TestSubscribe_seesItsOrganisationOnly(t *testing.T) {
	t.Parallel()
	h := events.New(quiet)
	member, admin := h.Subscribe(ours, false, ""), h.Subscribe(ours, true, "")
	defer member.Close()
	defer admin.Close()

	h.Publish(events.Event{Topic: events.Instance, Key: "mine", Organisation: ours})
	h.Publish(events.Event{Topic: events.Instance, Key: "theirs", Organisation: theirs})
	h.Publish(events.Event{Topic: events.Model, Key: "everybody's"})
	h.Publish(events.Event{Topic: events.Reset})

	if diff := cmp.Diff([]string{"instance mine", "reset "}, keys(waiting(member))); diff != "" {
		t.Errorf("a member sees (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"instance mine", "model everybody's", "reset "}, keys(waiting(admin))); diff != "" {
		t.Errorf("a platform admin sees (-want +got)\n%s", diff)
	}
}

func TestSubscribe_resumesAfterAnID(t *testing.T) {
	t.Parallel()
	h := events.New(quiet)
	page := h.LastID()
	for n := range 5 {
		org := ours
		if n == 2 {
			org = theirs
		}
		h.Publish(events.Event{Topic: events.Instance, Key: fmt.Sprint(n), Organisation: org})
	}
	fromPage := h.Subscribe(ours, false, page)
	defer fromPage.Close()
	all := waiting(fromPage)
	if diff := cmp.Diff([]string{"instance 0", "instance 1", "instance 3", "instance 4"}, keys(all)); diff != "" {
		t.Fatalf("since the page (-want +got)\n%s", diff)
	}
	again := h.Subscribe(ours, false, all[1].ID)
	defer again.Close()
	if diff := cmp.Diff([]string{"instance 3", "instance 4"}, keys(waiting(again))); diff != "" {
		t.Errorf("since the second event (-want +got)\n%s", diff)
	}
	upToDate := h.Subscribe(ours, false, h.LastID())
	defer upToDate.Close()
	if got := waiting(upToDate); got != nil {
		t.Errorf("up to date, yet sent %v", got)
	}
}

func TestB45_unknownIDGetsOneReset(t *testing.T) {
	t.Parallel()
	h := events.New(quiet)
	old := h.LastID()
	for n := range 1025 { // one more than is remembered
		h.Publish(events.Event{Topic: events.Usage, Key: fmt.Sprint(n), Organisation: ours})
	}
	for name, id := range map[string]string{
		"forgotten": old, "of another process": events.New(quiet).LastID(), "garbage": "'; DROP TABLE x --",
		"in the future": h.LastID() + "0", "negative": "x:-1", "overflowing": old + "99999999999999999999",
	} {
		s := h.Subscribe(ours, false, id)
		got := waiting(s)
		if len(got) != 1 || got[0].Topic != events.Reset || got[0].ID != h.LastID() {
			t.Errorf("%s id: sent %v, want one reset with the last id", name, got)
		}
		s.Close()
	}
	fresh := h.Subscribe(ours, false, "")
	defer fresh.Close()
	if got := waiting(fresh); got != nil {
		t.Errorf("without an id: sent %v, want nothing", got)
	}
}

func TestSubscribe_theWholeRingIsRemembered(t *testing.T) {
	t.Parallel()
	h := events.New(quiet)
	h.Publish(events.Event{Topic: events.Reset})
	id := h.LastID()
	for n := range 1024 {
		h.Publish(events.Event{Topic: events.Usage, Key: fmt.Sprint(n), Organisation: ours})
	}
	s := h.Subscribe(ours, false, id)
	defer s.Close()
	got := waiting(s)
	if len(got) != 1024 || got[0].Key != "0" || got[1023].Key != "1023" {
		t.Fatalf("resumed with %d events, want all 1024 in order", len(got))
	}
}

func TestPublish_dropsWhoDoesNotKeepUpAndLosesNothing(t *testing.T) {
	t.Parallel()
	h := events.New(quiet)
	slow, quick := h.Subscribe(ours, false, ""), h.Subscribe(ours, false, "")
	defer quick.Close()
	const sent = 200
	for n := range sent { // must not block
		h.Publish(events.Event{Topic: events.Usage, Key: fmt.Sprint(n), Organisation: ours})
		if got := <-quick.Messages(); got.Key != fmt.Sprint(n) {
			t.Fatalf("quick reader got %q, want %d", got.Key, n)
		}
	}
	var read []events.Message
	for m := range slow.Messages() { // ends, for it was dropped
		read = append(read, m)
	}
	back := h.Subscribe(ours, false, read[len(read)-1].ID)
	defer back.Close()
	if total := len(read) + len(waiting(back)); total != sent {
		t.Errorf("slow reader got %d events in two sittings, want %d", total, sent)
	}
	slow.Close() // harmless
}

func TestOn_isCalledForItsTopic(t *testing.T) {
	t.Parallel()
	h := events.New(quiet)
	var woken int
	h.On(events.Charge, func() { woken++ })
	h.Publish(events.Event{Topic: events.Charge})
	h.Publish(events.Event{Topic: events.Usage})
	if woken != 1 {
		t.Errorf("woken %d times, want once", woken)
	}
}

// next waits for one message.
func next(t *testing.T, s *events.Subscription) events.Message {
	t.Helper()
	select {
	case m, open := <-s.Messages():
		if !open {
			t.Fatal("subscription ended")
		}
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 s")
	}
	panic("unreachable")
}

func TestPost_reachesOtherProcessesAtCommitOnly(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	url := dbtest.URL(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	pool, err := db.Open(t.Context(), url, db.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, stop := context.WithCancel(t.Context())
	h := events.New(quiet)
	var woken atomic.Int32
	h.On(events.Key, func() { woken.Add(1) })
	s := h.Subscribe(ours, false, "")
	ended := make(chan struct{})
	go func() { defer close(ended); h.Run(ctx, url) }()
	if m := next(t, s); m.Topic != events.Reset {
		t.Fatalf("first event = %v, want a reset at the connection", m)
	}

	refused := errors.New("refused")
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := events.Post(ctx, tx, events.Event{Topic: events.Instance, Key: "lost", Organisation: ours}); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error {
		for _, e := range []events.Event{
			{Topic: events.Instance, Key: `quoted "'\ é`, Organisation: ours},
			{Topic: events.Key, Key: "k", Organisation: ours},
			{Topic: events.Key, Key: "k", Organisation: ours},
			{Topic: events.Instance, Key: "last", Organisation: ours},
		} {
			if err := events.Post(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := keys([]events.Message{next(t, s), next(t, s), next(t, s)})
	if diff := cmp.Diff([]string{`instance quoted "'\ é`, "key k", "instance last"}, got); diff != "" {
		t.Errorf("delivered (-want +got)\n%s", diff)
	}
	if n := woken.Load(); n != 2 {
		t.Errorf("woken %d times, want once at the connection and once for the event", n)
	}

	// A foreign or broken payload is passed over.
	if _, err := pool.Exec(ctx, `SELECT pg_notify('inventiv', 'not json')`); err != nil {
		t.Fatal(err)
	}
	// A lost connection is made again, and everything counts as changed.
	if _, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	    WHERE datname = current_database() AND query LIKE 'LISTEN%'`); err != nil {
		t.Fatal(err)
	}
	if m := next(t, s); m.Topic != events.Reset {
		t.Errorf("after a lost connection = %v, want a reset", m)
	}
	stop()
	<-ended
	if _, open := <-s.Messages(); open {
		t.Error("the subscription outlived the hub")
	}
}
