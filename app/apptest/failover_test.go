package apptest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// TestFailover_F27_whatTheNewDatabaseLacksIsStoredAgain puts an older state of
// PostgreSQL in place of the newer one, under load, as the promotion of a standby
// does that was behind: once while serve runs, and once while it is dead.
func TestFailover_F27_whatTheNewDatabaseLacksIsStoredAgain(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	ledger, outside := filepath.Join(t.TempDir(), "ledger"), freeAddress(t)
	start(t, filepath.Join(t.TempDir(), "engine.log"), nil, "engine", outside, ledger)
	s, serve := newSite(t, server.URL(), ledger)
	serve.addEndpoint("outside", "outside", outside)
	serve.ready("outside")
	l := newLoad(t, s, 16, 20*time.Millisecond, func(int64) string { return serve.people }, s.model, "outside")
	const stored = `SELECT count(*) FROM gateway.usage_records`
	storedMore := func(than, n int) func() bool { return func() bool { return s.count(stored) >= than+n } }
	s.within(time.Minute, "requests are on record", storedMore(0, 100))

	restore := server.Copy()
	s.pool.Reset()
	failovers := 0
	for _, dead := range []bool{false, true} {
		before := s.count(stored)
		s.within(time.Minute, "more requests are on record", storedMore(before, 200))
		if dead {
			if failures := l.seen(); len(failures) > 0 {
				t.Errorf("while serve ran, clients saw %v", failures)
			}
			serve.kill()
		}
		before = s.count(stored)
		restore()
		s.pool.Reset()
		if dead {
			if left := s.count(stored); left >= before-200 {
				t.Errorf("the older state has %d of %d records", left, before)
			}
			serve.start()
		}
		s.within(time.Minute, "all of them are there again, and more", storedMore(before, 50))
		failovers++
	}
	l.end()
	s.stored(l)
	if code := serve.stop(); code != 0 {
		t.Errorf("serve ended with %d\n%s", code, s.lastLog())
	}
	figures := compare(t, s, l, ledger)
	figure(t, "A failover that loses the last moments", []string{"failovers", "requests", "answered whole", "rows", "lost", "double"},
		[]any{failovers, l.sent.Load(), len(l.answered), figures[2], figures[5], figures[6]})
}
