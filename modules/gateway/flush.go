package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

const (
	flushEvery = 250 * time.Millisecond
	flushBatch = 2000
)

// flush is a pass: it moves final records from the spool into the database and
// returns how many. What the database has not confirmed stays in the spool, so
// an error loses nothing, and a batch that was stored twice is stored once. What
// a database has forgotten is delivered again, from the next pass on.
func (s *Service) flush(ctx context.Context) (int, error) {
	defer s.tell()
	moved, err := s.deliver(ctx)
	if err == nil {
		err = s.confirm(ctx)
	}
	switch {
	case errors.Is(err, errForgotten):
		return moved, s.deliverAgain(ctx)
	case err != nil:
		return moved, err
	}
	return moved, s.noteUse(ctx)
}

// deliver stores what is in the spool.
func (s *Service) deliver(ctx context.Context) (moved int, err error) {
	stored := s.admission.storing()
	for ctx.Err() == nil {
		batch, err := s.spool.Next(flushBatch)
		if err != nil {
			return moved, fmt.Errorf("read the usage spool: %w", err)
		}
		if n := len(batch.Records); n > 0 {
			if err := s.storeOrSetAside(ctx, batch.Records); err != nil {
				return moved, err
			}
			moved += n
		}
		for i := range batch.Records {
			s.untold[batch.Records[i].Organisation] = true
			if r := &batch.Records[i]; !r.Endpoint {
				s.used[r.UpstreamID] = true
			}
		}
		if err := s.spool.Ack(batch, s.witness); err != nil {
			return moved, fmt.Errorf("settle the usage spool: %w", err)
		}
		if len(batch.Records) < flushBatch {
			stored()
			break
		}
	}
	return moved, nil
}

// tell says whose usage has changed, at most once a second.
func (s *Service) tell() {
	if len(s.untold) == 0 || time.Since(s.toldAt) < time.Second {
		return
	}
	for organisation := range s.untold {
		s.events.Publish(events.Event{Topic: events.Usage, Organisation: organisation})
	}
	clear(s.untold)
	s.toldAt = time.Now()
}

// storeOrSetAside stores records. One that the database will never take is put
// aside on disk, so that it does not hold up those behind it.
func (s *Service) storeOrSetAside(ctx context.Context, records []spool.Record) error {
	err := s.store(ctx, records)
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !strings.HasPrefix(refused.Code, "22") && !strings.HasPrefix(refused.Code, "23") { // data, constraints
		return err
	}
	if half := len(records) / 2; half > 0 {
		if err := s.storeOrSetAside(ctx, records[:half]); err != nil {
			return err
		}
		return s.storeOrSetAside(ctx, records[half:])
	}
	s.log.ErrorContext(ctx, "usage record set aside: the database refuses it", "request", records[0].RequestID, "err", err)
	s.metrics.setAside.Inc()
	return s.spool.SetAside(&records[0]) //nolint:wrapcheck // says enough
}

// partition is a pass: it makes the partitions of this month and the next two.
func (s *Service) partition(ctx context.Context) (int, error) {
	for ahead := range int32(3) {
		if err := gatewaydb.New(s.pool).MakePartition(ctx, ahead); err != nil {
			return 0, fmt.Errorf("make a partition for usage records: %w", err)
		}
	}
	return 0, nil
}
