package db_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func TestListener_notifiesAndComesBack(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	connected, got := make(chan struct{}, 10), make(chan string, 10)
	l := &db.Listener{
		URL: server.URL(), Channel: "inventiv", Log: slog.New(slog.DiscardHandler),
		Notify: func(p string) { got <- p }, Connected: func() { connected <- struct{}{} },
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	defer func() { stop(); <-done }()

	<-connected
	notify(t, server.URL(), "first")
	if p := <-got; p != "first" {
		t.Fatalf("payload = %q, want first", p)
	}
	server.Stop()
	server.Start()
	<-connected
	notify(t, server.URL(), "second")
	if p := <-got; p != "second" {
		t.Errorf("payload = %q, want second", p)
	}
}

// A frozen server looks like a firewall that has forgotten the connection: no
// error, no answer.
func TestListener_noticesSilence(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	connected := make(chan struct{}, 10)
	l := &db.Listener{
		URL: server.URL(), Channel: "inventiv", Log: slog.New(slog.DiscardHandler), Silence: 200 * time.Millisecond,
		Notify: func(string) {}, Connected: func() { connected <- struct{}{} },
	}
	lost := make(chan struct{}, 10)
	l.Log = slog.New(onRecord(func() { lost <- struct{}{} }))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	defer func() { stop(); <-done }()

	<-connected
	server.Freeze()
	<-lost
	server.Thaw()
	<-connected
}

// onRecord is a log handler that calls a function for each record.
type onRecord func()

func (f onRecord) Enabled(context.Context, slog.Level) bool  { return true }
func (f onRecord) Handle(context.Context, slog.Record) error { f(); return nil }
func (f onRecord) WithAttrs([]slog.Attr) slog.Handler        { return f }
func (f onRecord) WithGroup(string) slog.Handler             { return f }

func notify(t *testing.T, url, payload string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `SELECT pg_notify('inventiv', $1)`, payload); err != nil {
		t.Fatal(err)
	}
}
