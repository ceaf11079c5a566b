package finops

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops/internal/finopsdb"
)

// overlap is how far behind its cursor the meter reads again: longer than any
// transaction of ours lives, so a late commit is not missed.
const overlap = 5 * time.Minute

// Meter is a pass: it turns what the provider bills into charges and returns
// how many it wrote. Replicas may run it at once. The first pass of a process
// reads everything, so that nothing is missed for longer than until a restart.
func (s *Service) Meter(ctx context.Context) (int, error) {
	now, err := s.q().Now(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask the database for the time: %w", err)
	}
	cursor, err := s.q().Cursor(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the meter's cursor: %w", err)
	}
	since := time.Unix(0, 0)
	if s.caughtUp.Load() {
		since = cursor.Add(-overlap)
	}
	changed, err := s.resources.Resources(ctx, since)
	if err != nil {
		return 0, fmt.Errorf("ask for what is billed: %w", err)
	}
	wrote := 0
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		wrote = 0
		q := finopsdb.New(tx)
		for _, r := range changed {
			row := finopsdb.UpsertChargeParams{
				ID: r.ID, OrganisationID: r.Organisation, InstanceID: r.InstanceID, Instance: r.Instance, Model: r.Model,
				Provider: r.Provider, Zone: r.Zone, Kind: r.Kind, Description: r.Description, PricePerHour: r.PricePerHour,
				StartedAt: r.CreatedAt, Version: r.UpdatedAt,
			}
			if !r.GoneAt.IsZero() {
				end := r.GoneAt
				if end.Before(r.CreatedAt) { // clocks of two machines
					end = r.CreatedAt
				}
				row.EndedAt = &end
			}
			n, err := q.UpsertCharge(ctx, row)
			if err != nil {
				return fmt.Errorf("write the charge of %s: %w", r.ID, err)
			}
			if n == 0 {
				continue
			}
			wrote++
			if err := events.Post(ctx, tx, events.Event{Topic: events.Charge, Key: r.ID.String(), Organisation: r.Organisation}); err != nil {
				return err //nolint:wrapcheck // says enough
			}
		}
		return q.MoveCursor(ctx, now)
	})
	if err != nil {
		return 0, fmt.Errorf("meter: %w", err)
	}
	s.caughtUp.Store(true)
	return wrote, nil
}
