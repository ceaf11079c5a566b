package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// usageColumns are the columns that add fills, in its order.
var usageColumns = []string{ //nolint:gochecknoglobals // constant
	"request_id", "started_at", "organisation_id", "key_id", "user_id", "model", "asked", "path", "upstream", "upstream_id", "status",
	"http_status", "error", "streamed", "prompt_tokens", "completion_tokens", "cached_tokens", "usage_source", "price_id", "input_price",
	"output_price", "cost", "first_token_us", "duration_us", "retried",
}

// usageBatch is a batch on its way into the database, in memory that is used
// again.
type usageBatch struct {
	rows  db.Rows
	spent map[account]money.EUR
}

// account is who spends, on which day since 1970.
type account struct {
	organisation, subject uuid.UUID
	day                   int32
}

// store inserts records. One that is there already, because its first insertion
// was not heard of or it is delivered again, stays as it is. It fails with
// errForgotten when the database lacks what it has taken before.
func (s *Service) store(ctx context.Context, records []spool.Record) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := s.insert(ctx, records, false)
	if twice, ok := errors.AsType[*pgconn.PgError](err); ok && twice.Code == "23505" {
		err = s.insert(ctx, records, true)
	}
	if err != nil {
		return err
	}
	last := &records[len(records)-1]
	s.witness = spool.Witness{Organisation: last.Organisation, RequestID: last.RequestID, StartedAt: last.StartedAt}
	s.confirmed = time.Now()
	return nil
}

// insert inserts records, all of them or none, and adds what they cost to what
// was spent. If some may be there, those are left out.
func (s *Service) insert(ctx context.Context, records []spool.Record, some bool) error {
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := gatewaydb.New(tx)
		if err := q.CommitDurably(ctx); err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		if err := s.witnessed(ctx, q); err != nil {
			return err
		}
		if some {
			var err error
			if records, err = unstored(ctx, q, records); err != nil || len(records) == 0 {
				return err
			}
		}
		s.batch.reset()
		for i := range records {
			s.batch.add(&records[i])
		}
		if err := db.Copy(ctx, tx, pgx.Identifier{"gateway", "usage_records"}, usageColumns, &s.batch.rows); err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		if len(s.batch.spent) == 0 {
			return nil
		}
		return q.AddSpending(ctx, s.batch.spending()) //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("store usage records: %w", err)
	}
	return nil
}

// unstored returns the records that are not in the database, each one once.
func unstored(ctx context.Context, q *gatewaydb.Queries, records []spool.Record) ([]spool.Record, error) {
	ask := gatewaydb.StoredRequestsParams{First: records[0].StartedAt, Last: records[0].StartedAt}
	for i := range records {
		r := &records[i]
		ask.RequestIds = append(ask.RequestIds, r.RequestID)
		if r.StartedAt.Before(ask.First) {
			ask.First = r.StartedAt
		}
		if r.StartedAt.After(ask.Last) {
			ask.Last = r.StartedAt
		}
	}
	ask.First, ask.Last = ask.First.Add(-time.Microsecond), ask.Last.Add(time.Microsecond) // the database rounds
	stored, err := q.StoredRequests(ctx, ask)
	if err != nil {
		return nil, fmt.Errorf("look for stored usage records: %w", err)
	}
	seen := make(map[uuid.UUID]bool, len(records))
	for _, id := range stored {
		seen[id] = true
	}
	var fresh []spool.Record
	for i := range records {
		if id := records[i].RequestID; !seen[id] {
			seen[id] = true
			fresh = append(fresh, records[i])
		}
	}
	return fresh, nil
}

func (b *usageBatch) reset() {
	b.rows.Reset()
	if b.spent == nil {
		b.spent = map[account]money.EUR{}
	}
	clear(b.spent)
}

// add appends a record.
func (b *usageBatch) add(r *spool.Record) {
	upstream, paid := "instance", cost(r)
	if r.Endpoint {
		upstream = "endpoint"
	}
	to := &b.rows
	to.Row(len(usageColumns))
	to.UUID(r.RequestID)
	to.Time(r.StartedAt)
	to.UUID(r.Organisation)
	orNull(to, r.KeyID)
	orNull(to, r.UserID)
	to.Text(r.Model)
	to.Text(r.Asked)
	to.Text(r.Path)
	to.Text(upstream)
	to.UUID(r.UpstreamID)
	to.Text(r.Status.String())
	to.Int4(int32(r.HTTPStatus))
	to.Text(r.Error)
	to.Bool(r.Streamed)
	to.Int8(r.PromptTokens)
	to.Int8(r.CompletionTokens)
	to.Int8(r.CachedTokens)
	to.Text(r.Source.String())
	countOrNull(to, r.PriceID)
	to.Nano(int64(r.InputPrice))
	to.Nano(int64(r.OutputPrice))
	to.Nano(int64(paid))
	countOrNull(to, r.FirstToken.Microseconds())
	to.Int8(r.Duration.Microseconds())
	to.Bool(r.Retried)

	if paid <= 0 {
		return
	}
	for _, subject := range [...]uuid.UUID{r.Organisation, r.KeyID, r.UserID} {
		if subject != uuid.Nil {
			a := account{r.Organisation, subject, int32(r.StartedAt.Round(time.Microsecond).Unix() / (24 * 60 * 60))}
			b.spent[a] = b.spent[a].Plus(paid) // an engine may claim any number of tokens
		}
	}
}

func orNull(to *db.Rows, id uuid.UUID) {
	if id == uuid.Nil {
		to.Null()
	} else {
		to.UUID(id)
	}
}

func countOrNull(to *db.Rows, n int64) {
	if n == 0 {
		to.Null()
	} else {
		to.Int8(n)
	}
}

// spending returns what the records cost, by who spent it and when.
func (b *usageBatch) spending() gatewaydb.AddSpendingParams {
	var p gatewaydb.AddSpendingParams
	for a, paid := range b.spent {
		p.OrganisationIds, p.SubjectIds = append(p.OrganisationIds, a.organisation), append(p.SubjectIds, a.subject)
		p.Days, p.Costs = append(p.Days, a.day), append(p.Costs, int64(paid))
	}
	return p
}

// cost is what a request costs at the price that was frozen for it.
func cost(r *spool.Record) money.EUR {
	return r.InputPrice.PerMillion(r.PromptTokens).Plus(r.OutputPrice.PerMillion(r.CompletionTokens))
}
