package apptest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

// TestKill_F24_F28_nothingIsLostOrDoubled kills serve, an agent, an engine and
// PostgreSQL, or freezes the last for a second, at random moments (the seed is
// the number of connections) while clients stream and ask. Afterwards each answer that a client had whole has one
// completed record with the tokens that the engine counted, and every other
// request at most one record.
func TestKill_F24_F28_nothingIsLostOrDoubled(t *testing.T) { //nolint:tparallel // the group ends before the figures are told
	t.Parallel()
	rows := make([][]any, 2)
	t.Run("at", func(t *testing.T) {
		for i, connections := range []int{64, 512} {
			each := *kills / 2
			if slow {
				each, connections = 3, connections/8
			}
			t.Run(strconv.Itoa(connections), func(t *testing.T) {
				t.Parallel()
				rows[i] = killMatrix(t, connections, each)
			})
		}
	})
	figure(t, "Kills", []string{
		"connections", "kills", "of serve, agent, engine, PostgreSQL, frozen", "requests", "answered whole", "rows", "completed", "interrupted", "lost", "double",
		"tokens of answers, engine", "tokens of answers, rows",
	}, rows...)
}

// killMatrix runs the matrix once and returns its figures.
func killMatrix(t *testing.T, connections, times int) []any {
	t.Helper()
	server := dbtest.NewServer(t)
	ledger := filepath.Join(t.TempDir(), "ledger")
	s, serve := newSite(t, server.URL(), ledger)
	outside := freeAddress(t)
	runEngine := func() *process { return start(t, filepath.Join(s.dir, "engine.log"), nil, "engine", outside, ledger) }
	engine := runEngine()
	serve.addEndpoint("outside", "outside", outside)
	serve.ready("outside")
	before := s.count(`SELECT count(*) FROM gateway.usage_records`)
	if before != 0 {
		t.Fatalf("%d records before anybody asked", before)
	}

	r := rand.New(rand.NewPCG(uint64(connections), uint64(times)))
	victims := make([]string, times)
	killed := map[string]int{}
	for i := range victims {
		victims[i] = [...]string{"serve", "agent", "serve", "engine", "postgres", "frozen"}[i%6]
		killed[victims[i]]++
	}
	r.Shuffle(times, func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })

	l := newLoad(t, s, connections, 0, func(int64) string { return serve.people }, s.model, "outside")
	for _, victim := range victims {
		enough := l.whole.Load() + int64(connections)
		s.within(60*time.Second, "requests are answered again", func() bool { return l.whole.Load() >= enough })
		<-time.After(time.Duration(r.IntN(300)) * time.Millisecond)
		switch victim {
		case "serve":
			serve.kill()
			serve.start()
		case "agent":
			for _, pid := range s.agents() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		case "engine":
			engine.kill()
			engine = runEngine()
		case "postgres":
			server.Crash()
		case "frozen":
			server.Freeze()
			<-time.After(time.Second)
			server.Thaw()
		}
	}
	enough := l.whole.Load() + int64(connections)
	s.within(60*time.Second, "requests are answered after the last kill", func() bool { return l.whole.Load() >= enough })
	l.end()
	s.within(60*time.Second, "serve is ready", func() bool { status, _ := serve.call("GET", "/readyz", "", ""); return status == 200 })
	s.stored(l)
	if code := serve.stop(); code != 0 {
		t.Errorf("serve ended with %d\n%s", code, s.lastLog())
	}
	t.Logf("%d connections: what clients saw besides whole answers: %v", connections, l.failures)
	victimsText := fmt.Sprintf("%d, %d, %d, %d, %d", killed["serve"], killed["agent"], killed["engine"], killed["postgres"], killed["frozen"])
	return append([]any{connections, times, victimsText}, compare(t, s, l, ledger)...)
}

// compare holds the records against what clients saw and engines counted, and
// returns the figures.
func compare(t *testing.T, s *site, l *load, ledger string) []any {
	t.Helper()
	engines := readLedger(t, ledger)
	rows, err := s.pool.Query(context.WithoutCancel(t.Context()), `SELECT request_id::text, status, usage_source, prompt_tokens, completion_tokens FROM gateway.usage_records`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	recorded := map[string]int{}
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	var completed, interrupted, double, lost, byEngine, byRows int64
	for rows.Next() {
		var id, status, source string
		var prompt, completion int64
		if err := rows.Scan(&id, &status, &source, &prompt, &completion); err != nil {
			t.Fatal(err)
		}
		if recorded[id]++; recorded[id] > 1 {
			double++
		}
		counted, known := engines[id]
		switch {
		case status == "interrupted":
			interrupted++
			if l.answered[id] {
				complain("%s was whole at the client and is interrupted", id)
			}
			if source == "counted" && known && completion > counted.completion {
				complain("%s: %d tokens recorded, %d generated", id, completion, counted.completion)
			}
		case !known || !counted.whole || source != "engine" || prompt != counted.prompt || completion != counted.completion:
			complain("%s is completed with %d and %d tokens by %s; the engine has %+v", id, prompt, completion, source, counted)
		default:
			completed++
		}
		if l.answered[id] {
			byEngine += counted.prompt + counted.completion
			byRows += prompt + completion
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for id := range l.answered {
		if recorded[id] == 0 {
			lost++
		}
	}
	total := int64(len(recorded)) + double
	if lost != 0 || double != 0 || byEngine != byRows || total > l.sent.Load() {
		t.Errorf("%d lost, %d double, %d rows of %d requests, %d tokens by the engines and %d recorded", lost, double, total, l.sent.Load(), byEngine, byRows)
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		t.Errorf("%d records are wrong, such as %s", len(wrong), wrong[0])
	}
	return []any{l.sent.Load(), len(l.answered), total, completed, interrupted, lost, double, byEngine, byRows}
}
