package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

const (
	flushEvery = 250 * time.Millisecond
	flushBatch = 500
)

// flush is a pass: it moves final records from the spool into the database and
// returns how many. What the database has not confirmed stays in the spool, so
// an error loses nothing, and a batch that was stored twice is stored once.
func (s *Service) flush(ctx context.Context) (int, error) {
	moved := 0
	defer s.tell()
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
			for i := range batch.Records {
				s.untold[batch.Records[i].Organisation] = true
				if r := &batch.Records[i]; !r.Endpoint {
					s.used[r.UpstreamID] = true
				}
			}
		}
		if err := s.spool.Ack(batch); err != nil {
			return moved, fmt.Errorf("settle the usage spool: %w", err)
		}
		if len(batch.Records) < flushBatch {
			stored()
			break
		}
	}
	return moved, s.noteUse(ctx)
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

// store inserts records that may be there already.
func (s *Service) store(ctx context.Context, records []spool.Record) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	p := &s.rows
	reset(p)
	for i := range records {
		r := &records[i]
		upstream := "instance"
		if r.Endpoint {
			upstream = "endpoint"
		}
		p.RequestIds = append(p.RequestIds, r.RequestID)
		p.StartedAts = append(p.StartedAts, r.StartedAt.Round(time.Microsecond)) // as the database keeps it
		p.OrganisationIds = append(p.OrganisationIds, r.Organisation)
		p.KeyIds, p.UserIds = append(p.KeyIds, r.KeyID), append(p.UserIds, r.UserID)
		p.Models, p.Askeds, p.Paths = append(p.Models, r.Model), append(p.Askeds, r.Asked), append(p.Paths, r.Path)
		p.Upstreams, p.UpstreamIds = append(p.Upstreams, upstream), append(p.UpstreamIds, r.UpstreamID)
		p.Statuses, p.HttpStatuses = append(p.Statuses, r.Status.String()), append(p.HttpStatuses, int32(r.HTTPStatus))
		p.Errors, p.Streameds = append(p.Errors, r.Error), append(p.Streameds, r.Streamed)
		p.PromptTokens, p.CompletionTokens = append(p.PromptTokens, r.PromptTokens), append(p.CompletionTokens, r.CompletionTokens)
		p.CachedTokens, p.UsageSources = append(p.CachedTokens, r.CachedTokens), append(p.UsageSources, r.Source.String())
		p.PriceIds = append(p.PriceIds, r.PriceID)
		p.InputPrices, p.OutputPrices = append(p.InputPrices, int64(r.InputPrice)), append(p.OutputPrices, int64(r.OutputPrice))
		p.Costs = append(p.Costs, int64(cost(r)))
		p.FirstTokenUs = append(p.FirstTokenUs, r.FirstToken.Microseconds())
		p.DurationUs = append(p.DurationUs, r.Duration.Microseconds())
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := gatewaydb.New(tx)
		if err := q.CommitDurably(ctx); err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		return q.InsertUsage(ctx, *p) //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("store usage records: %w", err)
	}
	return nil
}

// cost is what a request costs at the price that was frozen for it.
func cost(r *spool.Record) money.EUR {
	return r.InputPrice.PerMillion(r.PromptTokens) + r.OutputPrice.PerMillion(r.CompletionTokens)
}

// reset empties the columns and keeps their memory.
func reset(p *gatewaydb.InsertUsageParams) {
	p.RequestIds, p.StartedAts, p.OrganisationIds = p.RequestIds[:0], p.StartedAts[:0], p.OrganisationIds[:0]
	p.KeyIds, p.UserIds, p.Models, p.Askeds, p.Paths = p.KeyIds[:0], p.UserIds[:0], p.Models[:0], p.Askeds[:0], p.Paths[:0]
	p.Upstreams, p.UpstreamIds, p.Statuses, p.HttpStatuses = p.Upstreams[:0], p.UpstreamIds[:0], p.Statuses[:0], p.HttpStatuses[:0]
	p.Errors, p.Streameds, p.PromptTokens = p.Errors[:0], p.Streameds[:0], p.PromptTokens[:0]
	p.CompletionTokens, p.CachedTokens, p.UsageSources = p.CompletionTokens[:0], p.CachedTokens[:0], p.UsageSources[:0]
	p.PriceIds, p.InputPrices, p.OutputPrices = p.PriceIds[:0], p.InputPrices[:0], p.OutputPrices[:0]
	p.Costs, p.FirstTokenUs, p.DurationUs = p.Costs[:0], p.FirstTokenUs[:0], p.DurationUs[:0]
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
