package db

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Rows are rows for Copy, in the binary format of PostgreSQL's COPY. Each one is
// begun with Row, and its columns follow in their order. pgx's own CopyFrom takes
// them value by value through interfaces, which costs several times as much.
type Rows struct{ text []byte }

// The format begins with a signature, flags and an extension, both empty, and
// ends with a row of -1 columns.
const (
	copyBegin = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyEnd   = "\xff\xff"
)

// Reset empties the rows and keeps their memory.
func (r *Rows) Reset() { r.text = append(r.text[:0], copyBegin...) }

// Row begins a row of so many columns.
func (r *Rows) Row(columns int) { r.text = binary.BigEndian.AppendUint16(r.text, uint16(columns)) }

// Null adds a column that is null.
func (r *Rows) Null() { r.size(-1) }

// Text adds a column of type text.
func (r *Rows) Text(v string) {
	r.size(len(v))
	r.text = append(r.text, v...)
}

// UUID adds a column of type uuid.
func (r *Rows) UUID(v uuid.UUID) {
	r.size(len(v))
	r.text = append(r.text, v[:]...)
}

// Bool adds a column of type boolean.
func (r *Rows) Bool(v bool) {
	r.size(1)
	if v {
		r.text = append(r.text, 1)
	} else {
		r.text = append(r.text, 0)
	}
}

// Int4 adds a column of type integer.
func (r *Rows) Int4(v int32) {
	r.size(4)
	r.text = binary.BigEndian.AppendUint32(r.text, uint32(v))
}

// Int8 adds a column of type bigint.
func (r *Rows) Int8(v int64) {
	r.size(8)
	r.text = binary.BigEndian.AppendUint64(r.text, uint64(v))
}

// epoch is what PostgreSQL counts microseconds from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // constant

// Time adds a column of type timestamptz, to the microsecond.
func (r *Rows) Time(v time.Time) { r.Int8(v.Round(time.Microsecond).Sub(epoch).Microseconds()) }

// Nano adds a column of type numeric(_, 9), which is v / 10⁹. PostgreSQL takes
// such a number in digits to the base of 10,000: three before the point are enough
// for every int64, and three after it have room for nine decimal places.
func (r *Rows) Nano(v int64) {
	const (
		digits, places = 6, 9
		positive       = 0x0000
		negative       = 0x4000
	)
	sign, n := uint16(positive), uint64(v)
	if v < 0 {
		sign, n = negative, -n
	}
	whole, part := n/1e9, n%1e9
	r.size(4*2 + digits*2)
	for _, half := range [...]uint16{
		digits, 2 /* the power of the first digit */, sign, places,
		uint16(whole / 1e8), uint16(whole / 1e4 % 1e4), uint16(whole % 1e4), uint16(part / 1e5), uint16(part / 10 % 1e4), uint16(part % 10 * 1e3),
	} {
		r.text = binary.BigEndian.AppendUint16(r.text, half)
	}
}

func (r *Rows) size(n int) { r.text = binary.BigEndian.AppendUint32(r.text, uint32(n)) }

// Copy inserts rows into columns of a table. It fails as an INSERT would.
func Copy(ctx context.Context, tx pgx.Tx, table pgx.Identifier, columns []string, r *Rows) error {
	all := bytes.NewReader(append(r.text, copyEnd...))
	_, err := tx.Conn().PgConn().CopyFrom(ctx, all, "COPY "+table.Sanitize()+" ("+strings.Join(columns, ", ")+") FROM STDIN (FORMAT binary)")
	return err //nolint:wrapcheck // as promised
}
