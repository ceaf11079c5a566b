package db_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func TestCopy_writesWhatPostgreSQLReads(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	if _, err := pool.Exec(t.Context(), `CREATE TABLE public.all_kinds (n int, a text, b uuid, c boolean, d integer, e bigint, f timestamptz, g numeric(20,9))`); err != nil {
		t.Fatal(err)
	}
	id := uuid.MustParse("01234567-89ab-cdef-0123-456789abcdef")
	nanos := map[int64]string{
		0: "0.000000000", 1: "0.000000001", -1: "-0.000000001", 10: "0.000000010", 123456789: "0.123456789", 1e9: "1.000000000",
		-12_000_000_030: "-12.000000030", 10_000e9: "10000.000000000", 99_999_999_999_999: "99999.999999999",
		math.MaxInt64: "9223372036.854775807", math.MinInt64: "-9223372036.854775808",
	}
	var rows db.Rows
	for range 2 { // the second time in the same memory
		rows.Reset()
		rows.Row(8)
		for range 8 {
			rows.Null()
		}
		n := int32(0)
		for nano := range nanos {
			n++
			rows.Row(8)
			rows.Int4(n)
			rows.Text("é,\"\n")
			rows.UUID(id)
			rows.Bool(n%2 == 0)
			rows.Int4(-n)
			rows.Int8(nano)
			rows.Time(time.Date(1969, 7, 20, 20, 17, 40, 123456600, time.UTC))
			rows.Nano(nano)
		}
		err := db.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			return db.Copy(t.Context(), tx, pgx.Identifier{"public", "all_kinds"}, []string{"n", "a", "b", "c", "d", "e", "f", "g"}, &rows)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var null, right int
	err := pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE num_nulls(n, a, b, c, d, e, f, g) = 8),
		count(*) FILTER (WHERE a = E'é,"\n' AND b = $1 AND c = (n % 2 = 0) AND d = -n AND f = '1969-07-20 20:17:40.123457Z') FROM public.all_kinds`, id).
		Scan(&null, &right)
	if err != nil || null != 2 || right != 2*len(nanos) {
		t.Errorf("%d rows are null, %d right (%v)", null, right, err)
	}
	for nano, want := range nanos {
		var got string
		if err := pool.QueryRow(t.Context(), `SELECT DISTINCT g::text FROM public.all_kinds WHERE e = $1`, nano).Scan(&got); err != nil || got != want {
			t.Errorf("%d nano is %s, want %s (%v)", nano, got, want, err)
		}
	}
}

func TestCopy_failsAsAnInsertWould(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	if _, err := pool.Exec(t.Context(), `CREATE TABLE public.once (n bigint CONSTRAINT once_key PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	var rows db.Rows
	rows.Reset()
	for range 2 {
		rows.Row(1)
		rows.Int8(7)
	}
	err := db.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		return db.Copy(t.Context(), tx, pgx.Identifier{"public", "once"}, []string{"n"}, &rows)
	})
	if !db.IsUnique(err, "once_key") {
		t.Errorf("twice the same: %v", err)
	}
}
