package spool_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// filled returns records that were appended, enough for two segments and a part.
func filled(t *testing.T, s *spool.Spool) []spool.Record {
	t.Helper()
	var all []spool.Record
	for range 1200 {
		r := finished(opened())
		r.Model = strings.Repeat("m", 30<<10)
		all = append(all, r)
	}
	put(t, s, all...)
	return all
}

func TestF27_keptSegmentsAreDeliveredAgain(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	want := filled(t, s)
	drain(t, s)
	if d := s.Depth(); d.Waiting != 0 || d.Kept < 30<<20 {
		t.Errorf("has %+v, want that all of it is kept", d)
	}
	if err := s.Again(); err != nil {
		t.Fatal(err)
	}
	if w := s.Witness(); w != (spool.Witness{}) {
		t.Errorf("%+v is the witness of nothing", w)
	}
	if d := s.Depth(); d.Kept != 0 || d.Waiting < 30<<20 {
		t.Errorf("has %+v, want that all of it waits", d)
	}
	if diff := cmp.Diff(want, drain(t, s)); diff != "" {
		t.Errorf("delivered again (-want +got)\n%s", diff)
	}
	if again := drain(t, s); len(again) != 0 {
		t.Errorf("delivered %d records a third time", len(again))
	}
}

func TestF27_aRestartKnowsWhatWasDeliveredAndKeepsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	want := filled(t, s)
	drain(t, s)
	late := finished(opened())
	put(t, s, late)
	before := s.Witness()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	last := want[len(want)-1]
	if w := s.Witness(); w != before || w != (spool.Witness{Organisation: last.Organisation, RequestID: last.RequestID, StartedAt: last.StartedAt}) {
		t.Errorf("the witness is %+v, want the last of those that were delivered, as before: %+v", w, before)
	}
	if s.Recovered.Finals != 1 {
		t.Errorf("recovered %+v, want one record", s.Recovered)
	}
	if diff := cmp.Diff([]spool.Record{late}, drain(t, s)); diff != "" {
		t.Errorf("delivered after the restart (-want +got)\n%s", diff)
	}
	if err := s.Again(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(want, late), drain(t, s)); diff != "" {
		t.Errorf("delivered again (-want +got)\n%s", diff)
	}
}

// TestF27_aNoteThatIsDamagedCostsADelivery may deliver too much, and never too
// little.
func TestF27_aNoteThatIsDamagedCostsADelivery(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(string) string{
		"a digit": func(note string) string { return note[:18] + "9" + note[19:] },
		"an id":   func(note string) string { return note[:30] + "x" + note[31:] },
		"the end": func(note string) string { return note[:50] },
		"all":     func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir)
			want := []spool.Record{finished(opened()), finished(opened())}
			put(t, s, want...)
			drain(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "delivered")
			note, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(damage(string(note))), 0o600); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, drain(t, open(t, dir))); diff != "" {
				t.Errorf("delivered after the damage to %q (-want +got)\n%s", note, diff)
			}
		})
	}
}

// TestF27_segmentsThatSomebodyDeletedAreNotNumberedAgain would skip what is
// written below a mark.
func TestF27_segmentsThatSomebodyDeletedAreNotNumberedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	filled(t, s)
	drain(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	for _, path := range segments {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir)
	want := []spool.Record{finished(opened())}
	put(t, s, want...)
	if diff := cmp.Diff(want, drain(t, s)); diff != "" {
		t.Errorf("delivered (-want +got)\n%s", diff)
	}
}

func TestInspect_F27_tellsWhatIsKeptFromWhatWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	filled(t, s)
	drain(t, s)
	put(t, s, finished(opened()), finished(opened()))
	files, err := spool.Inspect(dir)
	if err != nil || len(files) != 3 {
		t.Fatalf("the folder has %+v, %v; want three segments", files, err)
	}
	for i, f := range files {
		waiting := 0
		if i == 2 {
			waiting = 2
		}
		if f.Waiting != waiting || f.Completed <= 2 || f.KeptBytes <= 0 || (f.KeptBytes == f.Bytes) != (waiting == 0) {
			t.Errorf("%+v, want %d records that wait", f, waiting)
		}
	}
}
