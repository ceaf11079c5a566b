package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

const confirmEvery = time.Second

// errForgotten says that the database lacks usage that it had taken.
var errForgotten = errors.New("the database lacks usage that it had taken")

// witnessed fails with errForgotten when the record that was stored last is not
// there. In a transaction it speaks for what that transaction adds to.
func (s *Service) witnessed(ctx context.Context, q *gatewaydb.Queries) error {
	w := s.witness
	if w == (spool.Witness{}) {
		return nil
	}
	there, err := q.HasUsage(ctx, gatewaydb.HasUsageParams{OrganisationID: w.Organisation, RequestID: w.RequestID, StartedAt: w.StartedAt.Round(time.Microsecond)})
	switch {
	case err != nil:
		return fmt.Errorf("look for the last record: %w", err)
	case !there:
		return errForgotten
	}
	return nil
}

// confirm sees, at most once a second, that the database still has what it was
// given.
func (s *Service) confirm(ctx context.Context) error {
	if time.Since(s.confirmed) < confirmEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.witnessed(ctx, gatewaydb.New(s.pool)); err != nil {
		return err
	}
	s.confirmed = time.Now()
	return s.spool.Confirm() //nolint:wrapcheck // says enough
}

// deliverAgain has what is still on disk delivered from its beginning. What the
// database has kept of it stays as it is.
func (s *Service) deliverAgain(ctx context.Context) error {
	s.witness = spool.Witness{}
	if err := s.spool.Again(); err != nil {
		return err //nolint:wrapcheck // says enough
	}
	s.metrics.forgotten.Inc()
	s.log.WarnContext(ctx, "the database lacks usage that it had taken: what is kept is delivered again", "bytes", s.spool.Depth().Waiting)
	return nil
}
