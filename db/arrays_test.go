package db_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func TestOpen_arraysGoAndComeBack(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	at := time.Date(1969, 7, 20, 20, 17, 40, 123456000, time.UTC)
	back(t, pool, "int4[]", [][]int32{nil, {}, {0, -1, 1 << 30}})
	back(t, pool, "int8[]", [][]int64{nil, {}, {0, -1, 1 << 60}})
	back(t, pool, "text[]", [][]string{nil, {}, {"", "a,b", `"{}\`, "é"}})
	back(t, pool, "uuid[]", [][]uuid.UUID{nil, {}, {uuid.Nil, uuid.MustParse("01234567-89ab-cdef-0123-456789abcdef")}})
	back(t, pool, "timestamptz[]", [][]time.Time{nil, {}, {at, at.AddDate(60, 0, 0)}})
	back(t, pool, "boolean[]", [][]bool{nil, {}, {true, false}})
	type name string // pgx's own way
	back(t, pool, "text[]", [][]name{{"x"}})
}

// back sends arrays and wants the same ones back, as binary and as PostgreSQL
// writes them.
func back[T any](t *testing.T, pool *pgxpool.Pool, kind string, lists [][]T) {
	t.Helper()
	for _, list := range lists {
		var got []T
		var written, again *string
		err := pool.QueryRow(t.Context(), "SELECT $1::"+kind+", $1::"+kind+"::text, (ARRAY(SELECT unnest($1::"+kind+")))::text", list).
			Scan(&got, &written, &again)
		if err != nil {
			t.Fatalf("%s %v: %v", kind, list, err)
		}
		for i := range got {
			if at, ok := any(&got[i]).(*time.Time); ok {
				*at = at.UTC()
			}
		}
		if diff := cmp.Diff(list, got); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
		if list != nil && *written != *again {
			t.Errorf("%s: the array is %s, its elements %s", kind, *written, *again)
		}
	}
}
