package instance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

const (
	sampleAge     = 7 * 24 * time.Hour
	terminatedAge = 7 * 24 * time.Hour
	failedAge     = 7 * 24 * time.Hour
	offersEvery   = 10 * time.Minute
	batch         = 5000
)

// alone runs fn unless another process did so less than period ago or does so
// now. The one that dies with it is replaced when its lease ends.
func (s *Service) alone(ctx context.Context, name string, period time.Duration, fn func(context.Context) (int, error)) (int, error) {
	q := s.q()
	if err := q.OpenPass(ctx, name); err != nil {
		return 0, fmt.Errorf("take the pass %s: %w", name, err)
	}
	const lease = time.Minute
	until, err := q.ClaimPass(ctx, instancedb.ClaimPassParams{Name: name, Lease: lease.Seconds(), Period: period.Seconds()})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("take the pass %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, lease-5*time.Second)
	defer cancel()
	moved, err := fn(ctx)
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer done()
	return moved, errors.Join(err, q.ClosePass(closing, instancedb.ClosePassParams{Name: name, LeaseUntil: until}))
}

const watchPeriod = 5 * time.Second

// listening is since when what agents report would have been written down. A
// process that could not reach the database, or did not run, heard nobody.
type listening struct {
	mu   sync.Mutex
	from time.Time // by the database's clock, as the next
	last time.Time // when that was last known
}

// at notes that the database answered at now.
func (l *listening) at(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.last) > 3*watchPeriod {
		l.from = now
	}
	l.last = now
}

func (l *listening) since() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from
}

// watchPass sets the connectivity of nodes by how long they have been silent:
// have not reported, and had no tunnel to any process. Time in which nobody
// listened does not count.
func (s *Service) watchPass(ctx context.Context) (int, error) {
	now, err := s.q().Clock(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	s.listening.at(now)
	moved := 0
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		back, err := q.LinkNodes(ctx, instancedb.LinkNodesParams{InstanceIds: s.hub.Linked(), Quiet: s.timing.Suspect.Seconds() / 2})
		if err != nil {
			return err
		}
		for _, r := range back {
			if err := tell(ctx, tx, r.OrganisationID, r.ID); err != nil {
				return err
			}
			s.log.InfoContext(ctx, "node silent, but its tunnel is up", "instance", r.Name)
		}
		rows, err := q.Watch(ctx, instancedb.WatchParams{
			Lost: s.timing.Lost.Seconds(), Suspect: s.timing.Suspect.Seconds(), ListeningSince: s.listening.since(),
		})
		moved = len(back) + len(rows)
		for _, r := range rows {
			if err == nil {
				err = tell(ctx, tx, r.OrganisationID, r.ID)
			}
			s.log.InfoContext(ctx, "node silent", "instance", r.Name, "connectivity", r.Connectivity)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("watch the nodes: %w", err)
	}
	if moved > 0 {
		s.reconcile.Wake()
	}
	return moved, nil
}

// offersPass writes what the providers say of price and stock into the
// catalogue. A provider that does not answer changes nothing.
func (s *Service) offersPass(ctx context.Context) (int, error) {
	var moved int
	var errs []error
	for code, p := range s.providers {
		n, err := s.alone(ctx, "offers "+code, offersEvery, func(ctx context.Context) (int, error) {
			offers, err := p.Offers(ctx)
			if err != nil {
				return 0, fmt.Errorf("ask %s for its offers: %w", code, err)
			}
			return len(offers), s.catalog.Refresh(ctx, code, offers)
		})
		moved += n
		errs = append(errs, err)
	}
	return moved, errors.Join(errs...)
}

// retentionPass forgets old samples, ends what has long failed and archives what
// has long been terminated.
func (s *Service) retentionPass(ctx context.Context) (int, error) {
	return s.alone(ctx, "retention", time.Hour, func(ctx context.Context) (int, error) {
		moved := 0
		for {
			n, err := s.q().PruneSamples(ctx, instancedb.PruneSamplesParams{Age: sampleAge.Seconds(), Lim: batch})
			if err != nil {
				return moved, fmt.Errorf("prune samples: %w", err)
			}
			moved += int(n)
			if n < batch {
				break
			}
		}
		err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
			q := instancedb.New(tx)
			failed, err := q.OldFailed(ctx, instancedb.OldFailedParams{Age: failedAge.Seconds(), Lim: 100})
			if err != nil {
				return err
			}
			for _, i := range failed {
				if err := want(ctx, tx, i.OrganisationID, i.ID, WantTerminated, ReasonRetention); err != nil {
					return err
				}
			}
			old, err := q.OldTerminated(ctx, instancedb.OldTerminatedParams{Age: terminatedAge.Seconds(), Lim: 100})
			if err != nil {
				return err
			}
			for _, i := range old {
				if err := archive(ctx, tx, i.ID, ReasonRetention); err != nil {
					return err
				}
				if err := tell(ctx, tx, i.OrganisationID, i.ID); err != nil {
					return err
				}
			}
			moved += len(failed) + len(old)
			return nil
		})
		if err != nil {
			return moved, fmt.Errorf("archive old instances: %w", err)
		}
		return moved, nil
	})
}
