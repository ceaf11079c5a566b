package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// admission holds requests to limits, from memory. Its loop reads the limits,
// and leases a part of each for this process where others let requests in as
// well.
type admission struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	loop *loop.Loop
	base time.Time // what instants are counted from, by the monotonic clock

	gates atomic.Pointer[gates] // nil before the first read; replaced, never changed

	// Of the pass alone.
	id      uuid.UUID // of this process among the replicas
	seen    int64     // version of the limits in memory
	others  int       // replicas besides this one
	seenOne bool      // the replicas were told of this process
	leases  map[leaseKey]*lease

	mu   sync.Mutex
	next chan struct{} // closed when a pass that begins from now on has ended
}

// gates are all subjects that are limited.
type gates struct {
	all     map[limit.Subject]*limit.Gate
	budgets []*limit.Gate // those with a budget
}

func newAdmission(pool *pgxpool.Pool, log *slog.Logger) *admission {
	a := &admission{
		pool: pool, log: log, base: time.Now(), id: uuid.Must(uuid.NewV7()), seen: -1, leases: map[leaseKey]*lease{}, next: make(chan struct{}),
	}
	a.loop = loop.New("limits", time.Second, log, a.pass)
	return a
}

// now is the time as limits count it.
func (a *admission) now() int64 { return int64(time.Since(a.base)) }

// of returns the gates that a caller's requests go through, and false when the
// limits are not known yet.
func (a *admission) of(c Caller) (through limit.Gates, limited, known bool) {
	gates := a.gates.Load()
	if gates == nil {
		return through, false, false
	}
	if len(gates.all) == 0 {
		return through, false, true
	}
	for i, id := range [...]uuid.UUID{c.KeyID, c.UserID, c.Organisation} {
		if id != uuid.Nil {
			through[i] = gates.all[limit.Subject{Organisation: c.Organisation, ID: id}]
			limited = limited || through[i] != nil
		}
	}
	return through, limited, true
}

// await waits until a pass that began after the call has ended, or for a while.
func (a *admission) await(ctx context.Context) {
	a.mu.Lock()
	done := a.next
	a.mu.Unlock()
	a.loop.Wake()
	late := time.NewTimer(2 * time.Second)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	case <-ctx.Done():
	}
}

// pass reads the limits if they have changed, and leases what requests need.
func (a *admission) pass(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	a.mu.Lock()
	done := a.next
	a.next = make(chan struct{}) // who comes from here on needs a later pass
	a.mu.Unlock()
	defer close(done)

	q := gatewaydb.New(a.pool)
	r, err := q.SeeReplica(ctx, a.id)
	if err != nil {
		return 0, fmt.Errorf("tell that this replica is there: %w", err)
	}
	if a.seenOne && !r.Known { // it was away for so long that its leases were given to others
		a.forget()
	}
	a.seenOne, a.others = true, int(r.Others)
	changed := 0
	if r.Version != a.seen {
		rows, err := q.AllLimits(ctx)
		if err != nil {
			return 0, fmt.Errorf("read the limits: %w", err)
		}
		a.replace(rows)
		a.seen, changed = r.Version, len(rows)
	}
	return changed, a.lease(ctx)
}

// replace makes the gates anew, with the meters of those before.
func (a *admission) replace(rows []gatewaydb.AllLimitsRow) {
	old := a.gates.Load()
	next := &gates{all: make(map[limit.Subject]*limit.Gate, len(rows))}
	for _, r := range rows {
		g := &limit.Gate{
			Subject: limit.Subject{Organisation: r.OrganisationID, ID: r.SubjectID}, Level: limit.Level(r.Level),
			Settings: limit.Settings{
				RequestsPerMinute: r.RequestsPerMinute, TokensPerMinute: r.TokensPerMinute, Concurrency: r.Concurrency,
				MaxTokens: r.MaxTokens, Models: r.Models, Budget: r.Budget, Period: limit.Period(r.Period),
			},
		}
		if old != nil && old.all[g.Subject] != nil {
			g.Meters = old.all[g.Subject].Meters
		} else {
			g.Meters = &limit.Meters{}
		}
		a.settle(g)
		next.all[g.Subject] = g
		if g.Budget > 0 {
			next.budgets = append(next.budgets, g)
		}
	}
	a.gates.Store(next)
}

// leave gives back what this process has leased.
func (a *admission) leave(ctx context.Context) error {
	if err := gatewaydb.New(a.pool).ForgetReplica(ctx, a.id); err != nil {
		return fmt.Errorf("give leases back: %w", err)
	}
	return nil
}
