package apptest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// TestAway_F23_F25_postgreSQLComesBack stops PostgreSQL under load. For the
// first five minutes nobody notices; then clients are told why, and wait. When it
// is back all goes on, without a restart, and every record is stored.
func TestAway_F23_F25_postgreSQLComesBack(t *testing.T) {
	t.Parallel()
	const trusted = 5 * time.Minute // known keys, without the database
	server := dbtest.NewServer(t)
	ledger, outside := filepath.Join(t.TempDir(), "ledger"), freeAddress(t)
	start(t, filepath.Join(t.TempDir(), "engine.log"), nil, "engine", outside, ledger)
	s, serve := newSite(t, server.URL(), ledger)
	serve.addEndpoint("outside", "outside", outside)
	serve.ready("outside")
	l := newLoad(t, s, 16, 20*time.Millisecond, func(int64) string { return serve.people }, s.model, "outside")
	answered := func(atLeast int64) func() bool {
		enough := l.whole.Load() + atLeast
		return func() bool { return l.whole.Load() >= enough }
	}
	s.within(30*time.Second, "requests are answered", answered(50))

	server.Stop()
	before := l.whole.Load()
	gone := time.Now()
	<-time.After(min(*away, trusted-10*time.Second))
	meanwhile := l.whole.Load() - before
	if failures := l.seen(); len(failures) > 0 || meanwhile == 0 {
		t.Errorf("while PostgreSQL is away %d are answered; besides, clients saw %v", meanwhile, failures)
	}
	<-time.After(time.Until(gone.Add(*away)))
	server.Start()
	back := time.Now()
	s.within(60*time.Second, "requests are answered again", answered(100))
	again := time.Since(back)
	l.end()
	refused := 0
	for failure, n := range l.seen() {
		if failure != "503 auth_unavailable" && failure != "a stream with an error" {
			t.Errorf("%d clients saw %q", n, failure)
		}
		refused += n
	}
	if *away < trusted && refused > 0 {
		t.Errorf("%d were refused", refused)
	}
	s.stored(l)
	all := time.Since(back)
	if code := serve.stop(); code != 0 {
		t.Errorf("serve ended with %d\n%s", code, s.lastLog())
	}
	figures := compare(t, s, l, ledger)
	figure(t, "PostgreSQL is away", []string{
		"for", "answered meanwhile, in the first five minutes", "refused or cut off after them", "hundred answered after its return", "all stored after it", "requests", "answered whole", "rows", "lost", "double",
	}, []any{*away, meanwhile, refused, again.Round(100 * time.Millisecond), all.Round(100 * time.Millisecond), l.sent.Load(), len(l.answered), figures[2], figures[5], figures[6]})
}
