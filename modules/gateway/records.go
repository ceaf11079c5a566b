package gateway

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// Record is one metered request, as it is stored. What was asked and answered
// is not.
type Record struct {
	RequestID        uuid.UUID // what the client was sent as x-request-id
	StartedAt        time.Time
	KeyID, UserID    uuid.UUID // nil when there is none
	Model            string    // that answered
	Asked            string    // the alias or the other model that was asked for; empty when it was Model
	Path             string
	UpstreamID       uuid.UUID
	Endpoint         bool
	Retried          bool   // a first server did not take it
	Status           string // completed or interrupted
	HTTPStatus       int
	Error            string
	Streamed         bool
	PromptTokens     int64
	CompletionTokens int64
	CachedTokens     int64
	UsageSource      string // engine, counted or none
	PriceID          int64  // 0: the model had no price
	InputPrice       money.EUR
	OutputPrice      money.EUR
	Cost             money.EUR
	FirstToken       time.Duration // 0: none came
	Duration         time.Duration
}

// RecordFilter narrows a list of records. Zero fields do not.
type RecordFilter struct {
	From, To      time.Time // To zero: now
	KeyID         uuid.UUID
	UserID        uuid.UUID // a member
	UpstreamID    uuid.UUID // an instance or an endpoint
	Model         string    // that answered, or the name that was asked for
	Path          string    // one of Paths
	Status, Error string
	MinDuration   time.Duration
	MinFirstToken time.Duration
	Retried       *bool    // whether a first server did not take it
	Before        Position // continue after the last record of the page before
	Limit         int      // 1 to 1000; 0: 100
}

// Paths lists the paths that requests are metered on.
func Paths() []string { return slices.Sorted(maps.Keys(surfaces)) }

// Position is where a page of records ended.
type Position struct {
	At time.Time
	ID uuid.UUID
}

// Position returns where a page ends of which r is the last record.
func (r Record) Position() Position { return Position{At: r.StartedAt, ID: r.RequestID} }

// positionBytes are the time in microseconds and the id.
const positionBytes = 8 + 16

// String writes the position for an address; the zero one is empty.
func (p Position) String() string {
	if p == (Position{}) {
		return ""
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(p.At.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, p.ID[:]...))
}

// ParsePosition reads what String wrote, and reports whether it was that.
func ParsePosition(text string) (Position, bool) {
	if text == "" {
		return Position{}, true
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != positionBytes {
		return Position{}, false
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
	return Position{At: at, ID: uuid.UUID(b[8:])}, at.Year() >= 2000 && at.Year() <= 9999
}

// ofMember returns whose records the actor is to be shown if it asks for those of
// a member, or of nobody in particular. It fails with fault.Denied when that is
// another one than itself and it may not see everybody's.
func ofMember(actor auth.Actor, member uuid.UUID) (*uuid.UUID, error) {
	user, err := mine(actor)
	if err != nil || member == uuid.Nil {
		return user, err
	}
	if user != nil && *user != member {
		return nil, fault.New(fault.Denied, "You may see your own requests, not those of another member.").WithField("member")
	}
	return &member, nil
}

// Records lists the requests that the actor may see, the newest first. It fails
// with fault.Denied when they are another member's and it may see its own alone.
func (s *Service) Records(ctx context.Context, actor auth.Actor, f RecordFilter) ([]Record, error) {
	user, err := ofMember(actor, f.UserID)
	if err != nil {
		return nil, err
	}
	if f.To.IsZero() {
		f.To = time.Now().Add(time.Hour) // clocks differ
	}
	if f.Before.At.IsZero() {
		f.Before = Position{At: f.To, ID: uuid.Max}
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	if f.Error != "" && f.Status == "" {
		f.Status = spool.Interrupted.String() // as all with an error are; there is an index of them
	}
	rows, err := gatewaydb.New(planned{s.pool}).UsageRecords(ctx, gatewaydb.UsageRecordsParams{
		OrganisationID: actor.Organisation, Since: f.From, Until: f.To, UserID: user, KeyID: someID(f.KeyID), UpstreamID: someID(f.UpstreamID),
		Model: f.Model, Path: f.Path, Status: f.Status, Error: f.Error, Retried: f.Retried,
		DurationUs: f.MinDuration.Microseconds(), FirstTokenUs: f.MinFirstToken.Microseconds(),
		BeforeAt: f.Before.At, BeforeID: f.Before.ID, PageSize: int32(min(max(f.Limit, 1), 1000)),
	})
	if err != nil {
		return nil, fmt.Errorf("list usage records: %w", err)
	}
	list := make([]Record, len(rows))
	for i, r := range rows {
		list[i] = toRecord(r)
	}
	return list, nil
}

// planned has each query planned for what it looks for. A plan for any filter,
// which a prepared statement gets from the sixth time on, takes twice as long.
type planned struct{ gatewaydb.DBTX }

// Query implements gatewaydb.DBTX.
func (p planned) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.DBTX.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...) //nolint:wrapcheck // wrapped above
}

// Record returns one request. It fails with fault.NotFound when there is none
// that the actor may see.
func (s *Service) Record(ctx context.Context, actor auth.Actor, id uuid.UUID) (Record, error) {
	user, err := mine(actor)
	if err != nil {
		return Record{}, err
	}
	r, err := gatewaydb.New(s.pool).UsageRecord(ctx, gatewaydb.UsageRecordParams{
		RequestID: id, OrganisationID: actor.Organisation, UserID: user,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Record{}, fault.New(fault.NotFound, "There is no request with this id.").
			WithFix("A request is recorded once it was sent on to a model's server; one that was refused before is not.")
	}
	if err != nil {
		return Record{}, fmt.Errorf("read a usage record: %w", err)
	}
	return toRecord(gatewaydb.UsageRecordsRow(r)), nil
}

func toRecord(r gatewaydb.UsageRecordsRow) Record {
	out := Record{
		RequestID: r.RequestID, StartedAt: r.StartedAt, KeyID: orNil(r.KeyID), UserID: orNil(r.UserID), Model: r.Model, Asked: r.Asked,
		Path: r.Path, UpstreamID: r.UpstreamID, Endpoint: r.Upstream == "endpoint", Status: r.Status, HTTPStatus: int(r.HttpStatus),
		Error: r.Error, Streamed: r.Streamed, PromptTokens: r.PromptTokens, CompletionTokens: r.CompletionTokens, CachedTokens: r.CachedTokens,
		UsageSource: r.UsageSource, InputPrice: r.InputPrice, OutputPrice: r.OutputPrice, Cost: r.Cost,
		Duration: time.Duration(r.DurationUs) * time.Microsecond, Retried: r.Retried,
	}
	if r.PriceID != nil {
		out.PriceID = *r.PriceID
	}
	if r.FirstTokenUs != nil {
		out.FirstToken = time.Duration(*r.FirstTokenUs) * time.Microsecond
	}
	return out
}

func someID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}
