package db

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Listener holds one LISTEN connection of its own, outside any pool. Its
// functions are called one at a time, from Run.
type Listener struct {
	URL     string
	Channel string
	Log     *slog.Logger
	// Notify is called for each notification, in order.
	Notify func(payload string)
	// Connected is called after each (re)connection: notifications may have been
	// lost before it, so the consumer considers everything changed.
	Connected func()
	// Silence is how long the connection may say nothing before it has to prove
	// that it lives; one that a firewall has forgotten is found within one and a
	// half times this. Zero means ten seconds.
	Silence time.Duration
}

// Run listens until ctx ends, and connects again, with growing pauses, whenever
// the connection is lost.
func (l *Listener) Run(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 5*time.Second
	for ctx.Err() == nil {
		err := l.listen(ctx, pause.Reset)
		if ctx.Err() != nil {
			return
		}
		l.Log.WarnContext(ctx, "listening connection lost", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

func (l *Listener) listen(ctx context.Context, healthy func()) error {
	cfg, err := parse(l.URL)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{l.Channel}.Sanitize()); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	healthy()
	l.Connected()
	for {
		n, err := l.wait(ctx, conn)
		if err != nil {
			return err
		}
		if n != nil {
			l.Notify(n.Payload)
		}
	}
}

// wait returns the next notification, or nil after a silence in which the
// connection proved that it lives.
func (l *Listener) wait(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	silence := cmp.Or(l.Silence, 10*time.Second)
	waiting, cancel := context.WithTimeout(ctx, silence)
	n, err := conn.WaitForNotification(waiting)
	cancel()
	if err == nil {
		return n, nil
	}
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || conn.IsClosed() {
		return nil, fmt.Errorf("wait for a notification: %w", err)
	}
	pinging, cancel := context.WithTimeout(ctx, silence/2)
	defer cancel()
	if err := conn.Ping(pinging); err != nil {
		return nil, fmt.Errorf("ping: %w", err)
	}
	return nil, nil //nolint:nilnil // a silence is neither a notification nor an error
}
