package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
)

// pingEvery is how long a listening connection may be silent before it has to
// prove that it lives. A connection that a firewall has forgotten is found
// within twice this time.
const pingEvery = 10 * time.Second

// Listener holds one LISTEN connection of its own, outside any pool.
type Listener struct {
	URL     string
	Channel string
	Log     *slog.Logger
	// Notify is called for each notification, in order.
	Notify func(payload string)
	// Connected is called after each (re)connection: notifications may have been
	// lost before it, so the consumer considers everything changed.
	Connected func()
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
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
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
		if n != "" {
			l.Notify(n)
		}
	}
}

// wait returns the next payload, or an empty one after a silence in which the
// connection proved that it lives.
func (l *Listener) wait(ctx context.Context, conn *pgx.Conn) (string, error) {
	waiting, cancel := context.WithTimeout(ctx, pingEvery)
	n, err := conn.WaitForNotification(waiting)
	cancel()
	if err == nil {
		return n.Payload, nil
	}
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || conn.IsClosed() {
		return "", fmt.Errorf("wait for a notification: %w", err)
	}
	pinging, cancel := context.WithTimeout(ctx, pingEvery/2)
	defer cancel()
	if err := conn.Ping(pinging); err != nil {
		return "", fmt.Errorf("ping: %w", err)
	}
	return "", nil
}
