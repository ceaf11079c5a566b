package db

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// patience is how long whoever asks waits for the database at a time.
type patience struct {
	limit time.Duration
	ended atomic.Bool
}

type (
	patienceKey struct{}
	hurriedKey  struct{}
)

// WithPatience returns a context with which a pool of Open gives up after limit:
// each time it needs a connection, and each statement. A server that is stopped
// in its tracks keeps its connections and says nothing, so that nothing else ends
// the wait. Time that is not the database's is not counted: streams, slow
// bodies and providers may last.
func WithPatience(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, &patience{limit: limit})
}

// PatienceEnded reports whether err says that the patience which came with ctx
// has ended, as other deadlines do not.
func PatienceEnded(ctx context.Context, err error) bool {
	p, ok := ctx.Value(patienceKey{}).(*patience)
	return ok && p.ended.Load() && errors.Is(err, context.DeadlineExceeded)
}

// hurry bounds what pgx does with a context that has a patience. Tracing is pgx's
// way to hand a context of our own to each call.
type hurry struct{}

var (
	_ pgx.QueryTracer       = hurry{}
	_ pgxpool.AcquireTracer = hurry{}
)

func begin(ctx context.Context) context.Context {
	p, ok := ctx.Value(patienceKey{}).(*patience)
	if !ok {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	return context.WithValue(ctx, hurriedKey{}, cancel)
}

func end(ctx context.Context) {
	cancel, ok := ctx.Value(hurriedKey{}).(context.CancelFunc)
	if !ok {
		return
	}
	if p, ok := ctx.Value(patienceKey{}).(*patience); ok && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		p.ended.Store(true)
	}
	cancel()
}

func (hurry) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return begin(ctx)
}

func (hurry) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { end(ctx) }

func (hurry) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return begin(ctx)
}

func (hurry) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	end(ctx)
}
