package spool

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// Status is how a request ended.
type Status byte

// The statuses.
const (
	Opened      Status = iota // it has not ended: an open record
	Completed                 // the answer was whole
	Interrupted               // it was not: a crash, a client that left, an upstream that died
)

// String returns the status as the database holds it.
func (s Status) String() string {
	switch s {
	case Completed:
		return "completed"
	case Interrupted:
		return "interrupted"
	case Opened:
	}
	return "opened"
}

// Source is where the token counts come from.
type Source byte

// The sources.
const (
	NoUsage Source = iota // nobody counted
	Engine                // the engine's own usage
	Counted               // pieces of the stream, seen by the gateway
)

// String returns the source as the database holds it.
func (s Source) String() string {
	switch s {
	case Engine:
		return "engine"
	case Counted:
		return "counted"
	case NoUsage:
	}
	return "none"
}

// Record is one metered request. A final record repeats the open one, so that
// it can be stored alone.
type Record struct {
	Status       Status
	Source       Source // of final records only
	Endpoint     bool   // the upstream is an endpoint, not an instance
	Streamed     bool
	Retried      bool // a first server did not take the request: UpstreamID is the second
	RequestID    uuid.UUID
	StartedAt    time.Time
	Organisation uuid.UUID
	KeyID        uuid.UUID // nil for the playground
	UserID       uuid.UUID // nil for a machine's key
	UpstreamID   uuid.UUID
	Model        string // that answers
	Asked        string // the alias or the other model that the client asked for; empty when it asked for Model
	Path         string

	PriceID                 int64     // 0: the model has no price
	InputPrice, OutputPrice money.EUR // per million tokens

	// The rest is of final records only.
	HTTPStatus       int // what the client was sent; 0 when nothing was
	PromptTokens     int64
	CompletionTokens int64
	CachedTokens     int64
	FirstToken       time.Duration // 0: none came
	Duration         time.Duration
	Error            string // code; empty when all went well
}

const maxPayload = 64 << 10

var errPayload = errors.New("not a record")

// encode appends the payload: a version byte, status, flags and source, five
// ids of 16 bytes, then numbers as varints (times and durations in
// nanoseconds, prices in nano-euros) and texts with their length. Version 2 has
// one text more than version 1, Asked, and is written only where that is not
// empty: a release that knows version 1 alone can read the rest. So it is with
// the flag Retried, which was not there in the beginning.
func (r *Record) encode(b []byte) []byte {
	flags := byte(0)
	if r.Endpoint {
		flags |= 1
	}
	if r.Streamed {
		flags |= 2
	}
	if r.Retried {
		flags |= 4
	}
	version := byte(1)
	if r.Asked != "" {
		version = 2
	}
	b = append(b, version, byte(r.Status), flags, byte(r.Source))
	for _, id := range [...]*uuid.UUID{&r.RequestID, &r.Organisation, &r.KeyID, &r.UserID, &r.UpstreamID} {
		b = append(b, id[:]...)
	}
	for _, n := range [...]int64{
		r.StartedAt.UnixNano(), r.PriceID, int64(r.InputPrice), int64(r.OutputPrice), int64(r.HTTPStatus), r.PromptTokens,
		r.CompletionTokens, r.CachedTokens, int64(r.FirstToken), int64(r.Duration),
	} {
		b = binary.AppendVarint(b, n)
	}
	for _, s := range []string{r.Model, r.Path, r.Error, r.Asked}[:2+version] {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// decode reads what encode wrote. Of a record that is there already it keeps the
// texts that are the same, as most are from one request to the next.
func (r *Record) decode(b []byte) error {
	const fixed = 4 + 5*16
	if len(b) < fixed || b[0] < 1 || b[0] > 2 || Status(b[1]) > Interrupted || b[2] > 7 || Source(b[3]) > Counted {
		return errPayload
	}
	version := b[0]
	if version == 1 {
		r.Asked = ""
	}
	r.Status, r.Endpoint, r.Streamed, r.Retried, r.Source = Status(b[1]), b[2]&1 != 0, b[2]&2 != 0, b[2]&4 != 0, Source(b[3])
	b = b[4:]
	for _, id := range [...]*uuid.UUID{&r.RequestID, &r.Organisation, &r.KeyID, &r.UserID, &r.UpstreamID} {
		b = b[copy(id[:], b):]
	}
	var numbers [10]int64
	for i := range numbers {
		v, n := binary.Varint(b)
		if n <= 0 {
			return errPayload
		}
		numbers[i], b = v, b[n:]
	}
	for _, s := range []*string{&r.Model, &r.Path, &r.Error, &r.Asked}[:2+version] {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return errPayload
		}
		if text := b[n : n+int(size)]; *s != string(text) {
			*s = string(text)
		}
		b = b[n+int(size):]
	}
	if len(b) != 0 || version == 2 && r.Asked == "" {
		return errPayload
	}
	r.StartedAt, r.PriceID = time.Unix(0, numbers[0]).UTC(), numbers[1]
	r.InputPrice, r.OutputPrice, r.HTTPStatus = money.EUR(numbers[2]), money.EUR(numbers[3]), int(numbers[4])
	r.PromptTokens, r.CompletionTokens, r.CachedTokens = numbers[5], numbers[6], numbers[7]
	r.FirstToken, r.Duration = time.Duration(numbers[8]), time.Duration(numbers[9])
	return nil
}
