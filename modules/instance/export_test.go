package instance

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// What the tests of this package's behaviour need of its inside.

type Claim = claim

var ErrLeaseLost = errLeaseLost

func (s *Service) Claim(ctx context.Context, n int) ([]*Claim, error) { return s.claim(ctx, n) }

func (s *Service) SettleReady(ctx context.Context, c *Claim) error {
	return s.settle(ctx, c, outcome{done: true, after: time.Hour})
}

func (s *Service) ScalePass(ctx context.Context) (int, error) { return s.scalePass(ctx) }
func (s *Service) Alone(ctx context.Context, name string, period time.Duration, fn func(context.Context) (int, error)) (int, error) {
	return s.alone(ctx, name, period, fn)
}

func (s *Service) RetentionPass(ctx context.Context) (int, error) { return s.retentionPass(ctx) }
func (s *Service) WatchPass(ctx context.Context) (int, error)     { return s.watchPass(ctx) }
func (s *Service) Sweep(ctx context.Context, code string) (int, error) {
	return s.sweep(ctx, code, s.providers[code])
}

// Listens has the service have listened since from, and last asked at last.
func (s *Service) Listens(from, last time.Time) { s.listening = &listening{from: from, last: last} }

func Sentences() map[Reason]string { return sentences }

// Plan is planFor with plain types.
func Plan(low, high int, stopped bool, failures int, lastFailure, now time.Time, rs []TestReplica) (launch int, ends map[string]Desired, reason Reason) {
	names := map[[16]byte]string{}
	in := make([]replica, 0, len(rs))
	for i, r := range rs {
		id := [16]byte{byte(i + 1)}
		names[id] = r.Name
		in = append(in, replica{
			id: id, state: r.State, desired: r.Desired, reason: r.Reason,
			createdAt: now.Add(time.Duration(i) * time.Minute),
		})
	}
	p := planFor(wish{low: low, high: high, stopped: stopped, failures: failures, lastFailure: lastFailure, backoff: 15 * time.Second, now: now}, in)
	ends = map[string]Desired{}
	for id, e := range p.end {
		ends[names[id]] = e.desired
	}
	return p.launch, ends, p.reason
}

type TestReplica struct {
	Name    string
	State   State
	Desired Desired
	Reason  Reason
}

func (s *Service) JoinToken(id uuid.UUID, generation int) wire.Secret {
	return s.joinToken(id, generation)
}

func (s *Service) EngineOf(ctx context.Context, organisation, id uuid.UUID) (wire.EngineSpec, error) {
	return s.engine(ctx, organisation, id)
}
