package spool_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// childDir makes the test binary append records there until it is killed. It
// prints the id of each request whose final record was appended.
const childDir = "INVENTIV_SPOOL_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		appendForEver(dir)
	}
	os.Exit(m.Run())
}

func appendForEver(dir string) {
	s, err := spool.Open(dir)
	if err != nil {
		panic(err)
	}
	var out sync.Mutex
	for range 16 {
		go func() {
			for {
				r := opened()
				if err := s.Append(&r); err != nil {
					panic(err)
				}
				r = finished(r)
				if err := s.Append(&r); err != nil {
					panic(err)
				}
				out.Lock()
				fmt.Println(r.RequestID)
				out.Unlock()
			}
		}()
	}
	select {}
}

func opened() spool.Record {
	return spool.Record{
		Status: spool.Opened, RequestID: uuid.New(), StartedAt: time.Now().UTC().Round(0), Organisation: uuid.New(), KeyID: uuid.New(),
		UpstreamID: uuid.New(), Endpoint: true, Streamed: true, Model: "some/model", Path: "/v1/chat/completions",
		PriceID: 7, InputPrice: money.Cent, OutputPrice: -3,
	}
}

func finished(r spool.Record) spool.Record {
	r.Status, r.HTTPStatus, r.Source = spool.Completed, 200, spool.Engine
	r.PromptTokens, r.CompletionTokens, r.CachedTokens = 9, 12, 1
	r.FirstToken, r.Duration = time.Millisecond, time.Second
	return r
}

func open(t *testing.T, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t *testing.T, s *spool.Spool, records ...spool.Record) {
	t.Helper()
	for i := range records {
		if err := s.Append(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// drain delivers everything and returns it.
func drain(t *testing.T, s *spool.Spool) []spool.Record {
	t.Helper()
	var all []spool.Record
	for {
		b, err := s.Next(100)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Records...)
		last := s.Witness()
		if n := len(b.Records); n > 0 {
			last = spool.Witness{Organisation: b.Records[n-1].Organisation, RequestID: b.Records[n-1].RequestID, StartedAt: b.Records[n-1].StartedAt}
		}
		if err := s.Ack(b, last); err != nil {
			t.Fatal(err)
		}
		if len(b.Records) == 0 {
			return all
		}
	}
}

// settle lets the time pass for which what was delivered is kept.
func settle(t *testing.T, s *spool.Spool) {
	t.Helper()
	time.Sleep(time.Minute) // of a bubble
	if err := s.Confirm(); err != nil {
		t.Fatal(err)
	}
}

func TestNext_deliversFinalsInOrderUntilAck(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	var want []spool.Record
	for range 250 {
		r := opened()
		put(t, s, r, finished(r))
		want = append(want, finished(r))
	}
	first, err := s.Next(100)
	if err != nil || len(first.Records) != 100 {
		t.Fatalf("Next = %d records, %v; want 100", len(first.Records), err)
	}
	if diff := cmp.Diff(want, drain(t, s)); diff != "" { // from the start: nothing was acknowledged
		t.Errorf("delivered (-want +got)\n%s", diff)
	}
	if again := drain(t, s); len(again) != 0 {
		t.Errorf("delivered %d records twice", len(again))
	}
}

func TestNext_usesItsMemoryAgain(t *testing.T) { //nolint:paralleltest // allocations are counted
	s := open(t, t.TempDir())
	for range 250 {
		r := opened()
		put(t, s, r, finished(r))
	}
	if n := testing.AllocsPerRun(10, func() {
		if b, err := s.Next(200); err != nil || len(b.Records) != 200 {
			t.Errorf("Next = %d records, %v", len(b.Records), err)
		}
	}); n > 20 {
		t.Errorf("%v allocations for 200 records", n)
	}
}

func TestOpen_makesInterruptedOfWhatHasNoFinal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	whole, broken := opened(), opened()
	put(t, s, whole, broken, finished(whole))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	got := drain(t, again)
	broken.Status, broken.Error = spool.Interrupted, "process_killed"
	if diff := cmp.Diff([]spool.Record{finished(whole), broken}, got); diff != "" {
		t.Errorf("recovered (-want +got)\n%s", diff)
	}
	if n := again.Recovered; n.Finals != 1 || n.Interrupted != 1 {
		t.Errorf("recovered = %+v, want one of each", n)
	}
}

func TestConfirm_deletesSegmentsInWhichNothingIsLeftToDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		long := opened()
		put(t, s, long)
		filler := strings.Repeat("m", 30<<10)
		for range 1200 { // some 36 MB: three segments
			r := opened()
			r.Model = filler
			put(t, s, finished(r))
		}
		drain(t, s)
		if names, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(names) != 3 {
			t.Errorf("segments left: %v, want those that are kept as well", names)
		}
		time.Sleep(time.Hour) // in which nobody knows what the database has
		drain(t, s)
		if names, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(names) != 3 {
			t.Errorf("segments left: %v, want that none gets old while the database is away", names)
		}
		settle(t, s)
		if names, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(names) != 2 {
			t.Errorf("segments left: %v, want the first, whose request still runs, and the last", names)
		}
		put(t, s, finished(long))
		if got := drain(t, s); len(got) != 1 || got[0].RequestID != long.RequestID {
			t.Errorf("delivered %d records, want the long request", len(got))
		}
		settle(t, s)
		if names, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(names) != 1 {
			t.Errorf("segments left: %v, want one", names)
		}
	})
}

// TestF28_aCheckpointIsWhatACrashLeaves appends an open record again, with what
// has been counted meanwhile, until it is far from the first one.
func TestF28_aCheckpointIsWhatACrashLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		long := opened()
		put(t, s, long)
		filler := finished(opened())
		filler.Model = strings.Repeat("m", 30<<10)
		for i := range 1200 { // some 36 MB: three segments
			if i%100 == 0 {
				long.CompletionTokens, long.Source = int64(i), spool.Counted
				put(t, s, long)
			}
			filler.RequestID = uuid.New()
			put(t, s, filler)
		}
		drain(t, s)
		settle(t, s)
		if names, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(names) != 1 {
			t.Errorf("segments left: %v, want the one with the newest open record", names)
		}
		if d := s.Depth(); d.Open != 1 {
			t.Errorf("%+v, want one request that is open", d)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		long.Status, long.Error = spool.Interrupted, "process_killed"
		got := drain(t, open(t, dir))
		if diff := cmp.Diff([]spool.Record{long}, got); diff != "" {
			t.Errorf("recovered (-want +got)\n%s", diff)
		}
	})
}

// TestF30_damageOfTheRunningSpool damages what is not delivered yet.
func TestF30_damageOfTheRunningSpool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for range 20 {
		put(t, s, finished(opened()))
	}
	file, err := os.OpenFile(filepath.Join(dir, "000000000001.seg"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("damage"), 500); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, s); len(got) != 19 || s.BadBytes() == 0 {
		t.Errorf("delivered %d records, %d bad bytes; want 19 and some", len(got), s.BadBytes())
	}
	files, err := spool.Inspect(dir)
	if err != nil || len(files) != 2 || files[1].Name != "quarantine/000000000001.seg" || files[1].Completed != 19 || files[1].BadBytes == 0 {
		t.Errorf("the folder has %+v, %v", files, err)
	}
}

func TestInspect_ofASpoolInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	runs, ended, cut := opened(), opened(), opened()
	put(t, s, runs, ended, cut, finished(ended), runs)
	cut.Status = spool.Interrupted
	put(t, s, cut)
	if err := s.SetAside(&ended); err != nil {
		t.Fatal(err)
	}
	got, err := spool.Inspect(dir)
	if err != nil || len(got) != 2 {
		t.Fatalf("the folder has %+v, %v", got, err)
	}
	want := []spool.File{
		{Name: "000000000001.seg", Bytes: got[0].Bytes, Waiting: 2, Completed: 1, Interrupted: 1, Open: 1},
		{Name: "quarantine/refused", Bytes: got[1].Bytes, KeptBytes: got[1].Bytes},
	}
	if diff := cmp.Diff(want, got); diff != "" || got[0].Bytes < 500 || got[0].Bytes != s.Depth().Waiting {
		t.Errorf("the folder has (-want +got)\n%s", diff)
	}
	if _, err := spool.Inspect(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want that there is none", err)
	}
}

func TestF30_aDamagedSegmentLosesOnlyWhatIsDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for range 50 {
		put(t, s, finished(opened()))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "000000000001.seg")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 0xFF
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if got := drain(t, again); len(got) != 49 {
		t.Errorf("delivered %d records, want 49 of 50", len(got))
	}
	if bad := again.Recovered.BadBytes; bad == 0 || again.Recovered.Finals != 49 || again.Recovered.TornBytes != 0 || again.BadBytes() != int64(bad) {
		t.Errorf("recovered = %+v and %d bad bytes, want 49 finals and the bad bytes once", again.Recovered, again.BadBytes())
	}
	kept, err := os.ReadFile(filepath.Join(dir, "quarantine", "000000000001.seg"))
	if err != nil || !bytes.Equal(kept, text) {
		t.Errorf("the damaged segment is not in quarantine: %v", err)
	}
}

func TestOpen_theSecondOnOneFolderSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir)
	if _, err := spool.Open(dir); !fault.Is(err, fault.Conflict) {
		t.Errorf("err = %v, want a conflict", err)
	}
}

func TestAppend_fromManyWhileDelivering(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	var writers sync.WaitGroup
	for range 64 {
		writers.Go(func() {
			for range 50 {
				r := opened()
				put(t, s, r, finished(r))
			}
		})
	}
	seen := map[uuid.UUID]bool{}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		for _, r := range drain(t, s) {
			if seen[r.RequestID] {
				t.Errorf("%s was delivered twice", r.RequestID)
			}
			seen[r.RequestID] = true
		}
	}
	if len(seen) != 3200 {
		t.Errorf("delivered %d records, want 3200", len(seen))
	}
}

func TestAppend_survivesSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said, interrupted := map[string]bool{}, 0
	stored := map[uuid.UUID]spool.Status{}
	for range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 200 + rand.IntN(800); lines.Scan(); n-- {
			if n == 0 {
				_ = cmd.Process.Kill()
			}
			if line := lines.Text(); len(line) == 36 {
				said[line] = true
			}
		}
		_ = cmd.Wait()

		s := open(t, dir)
		interrupted += s.Recovered.Interrupted
		for _, r := range drain(t, s) {
			if old, twice := stored[r.RequestID]; twice && old != r.Status {
				t.Errorf("%s is %s and %s", r.RequestID, old, r.Status)
			}
			stored[r.RequestID] = r.Status
		}
		if s.Recovered.BadBytes != 0 {
			t.Errorf("recovered = %+v, want no bad bytes", s.Recovered)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for id := range said {
		if stored[uuid.MustParse(id)] != spool.Completed {
			t.Errorf("%s was appended and is lost", id)
		}
	}
	t.Logf("5 kills: %d finals said, %d stored, %d interrupted", len(said), len(stored), interrupted)
}

func BenchmarkAppend(b *testing.B) {
	s, err := spool.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := opened()
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Append(&r)
		f := r
		f.Status = spool.Completed
		_ = s.Append(&f)
	}
}
