package db

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// fastArrays makes a connection encode slices of the usual types in one go. pgx
// takes them element by element through interfaces, which made a batch of usage
// records the dearest thing that the gateway did for a request.
func fastArrays(conn *pgx.Conn) {
	m := conn.TypeMap()
	register(m, "int4", func(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) })
	register(m, "int8", func(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) })
	register(m, "text", func(b []byte, v string) []byte { return append(b, v...) })
	register(m, "uuid", func(b []byte, v uuid.UUID) []byte { return append(b, v[:]...) })
	register(m, "timestamptz", func(b []byte, v time.Time) []byte {
		return binary.BigEndian.AppendUint64(b, uint64(v.Sub(epoch).Microseconds()))
	})
	register(m, "bool", func(b []byte, v bool) []byte {
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	})
}

// epoch is what PostgreSQL counts microseconds from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // constant

// register replaces the codec of the arrays of a type for slices of T.
func register[T any](m *pgtype.Map, element string, each func([]byte, T) []byte) {
	one, ok := m.TypeForName(element)
	if !ok {
		panic("pgx does not know " + element) // it always does
	}
	array, ok := m.TypeForName("_" + element)
	if !ok {
		panic("pgx does not know _" + element)
	}
	m.RegisterType(&pgtype.Type{
		Name: array.Name, OID: array.OID, Codec: &arrayCodec[T]{ArrayCodec: &pgtype.ArrayCodec{ElementType: one}, each: each},
	})
}

// arrayCodec encodes a []T itself and leaves everything else to pgx.
type arrayCodec[T any] struct {
	*pgtype.ArrayCodec

	each func([]byte, T) []byte // appends an element's binary form
}

// PlanEncode implements pgtype.Codec.
func (c *arrayCodec[T]) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.([]T); ok && format == pgtype.BinaryFormatCode {
		return c
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// Encode implements pgtype.EncodePlan: the array's dimensions, whether it has
// nulls, the type, length and lower bound, and each element after its length.
func (c *arrayCodec[T]) Encode(value any, b []byte) ([]byte, error) {
	list, ok := value.([]T)
	if !ok {
		return nil, fmt.Errorf("encode an array: %T is none of ours", value)
	}
	b = slices.Grow(b, 20+12*len(list)) // about
	dimensions := uint32(min(1, len(list)))
	b = binary.BigEndian.AppendUint32(b, dimensions)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, c.ElementType.OID)
	if dimensions == 0 {
		return b, nil
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, v := range list {
		at := len(b)
		b = c.each(append(b, 0, 0, 0, 0), v)
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	return b, nil
}
