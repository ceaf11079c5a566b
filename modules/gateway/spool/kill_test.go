package spool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// TestOpen_cutsOffWhatAKillLeft opens what a spool with 30 records had on disk
// when it was closed, or was killed at some moment.
func TestOpen_cutsOffWhatAKillLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	var records []spool.Record
	for range 30 {
		records = append(records, finished(opened()))
	}
	put(t, s, records[:29]...)
	last := s.Depth().Waiting // where the last record begins
	put(t, s, records[29])
	path := filepath.Join(dir, "000000000001.seg")
	running, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	closed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(running, closed) || len(running) < 16<<20 || len(bytes.Trim(running[len(closed):], "\x00")) != 0 {
		t.Fatalf("%d bytes while it ran and %d when it was closed, want those and zeros", len(running), len(closed))
	}
	unmarked, flipped := bytes.Clone(running), bytes.Clone(running)
	copy(unmarked[last:], []byte{0, 0})
	flipped[last+20] ^= 1
	for name, c := range map[string]struct {
		text      []byte
		whole     int
		torn, bad bool
	}{
		"closed":                    {text: closed, whole: 30},
		"between two records":       {text: running, whole: 30},
		"within a record":           {text: unmarked, whole: 29, torn: true},
		"with a damaged record":     {text: flipped, whole: 29, bad: true},
		"without what it promised":  {text: closed[:len(closed)-5], whole: 29, bad: true},
		"right after the beginning": {text: append([]byte("invspl1\n"), make([]byte, 1<<20)...)},
		"before it":                 {text: make([]byte, 1<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "000000000001.seg")
			if err := os.WriteFile(path, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir)
			if diff := cmp.Diff(records[:c.whole], drain(t, s), cmp.Transformer("none", func(r []spool.Record) []spool.Record { return append([]spool.Record{}, r...) })); diff != "" {
				t.Errorf("delivered (-want +got)\n%s", diff)
			}
			r := s.Recovered
			if (r.TornBytes > 0) != c.torn || (r.BadBytes > 0) != c.bad || r.Finals != c.whole || s.BadBytes() != int64(r.BadBytes) {
				t.Errorf("recovered = %+v and %d bad bytes", r, s.BadBytes())
			}
			left, err := os.Stat(path)
			if err != nil || left.Size() > int64(len(closed)) {
				t.Errorf("the segment has %d bytes, %v; want what was set aside given back", left.Size(), err)
			}
			if _, err := os.Stat(filepath.Join(dir, "quarantine")); os.IsNotExist(err) == c.bad {
				t.Errorf("the quarantine: %v", err)
			}
		})
	}
}

// TestF30_roomThatWasNotGivenBackIsNoDamage has an ended segment keep its full
// size, as when it could not be cut or a kill came in between: neither the
// running spool nor the next start takes the zeros for records.
func TestF30_roomThatWasNotGivenBackIsNoDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	want := filled(t, s)
	stretch := func() {
		t.Helper()
		if err := os.Truncate(filepath.Join(dir, "000000000001.seg"), 17<<20); err != nil {
			t.Fatal(err)
		}
	}
	whole := s.Depth().Waiting
	stretch()
	if diff := cmp.Diff(want, drain(t, s)); diff != "" || s.BadBytes() != 0 {
		t.Errorf("%d bad bytes, delivered (-want +got)\n%s", s.BadBytes(), diff)
	}
	if err := errors.Join(s.Again(), s.Close()); err != nil {
		t.Fatal(err)
	}
	stretch()
	s = open(t, dir)
	if r := s.Recovered; r.BadBytes != 0 || r.TornBytes != 0 || r.Finals != len(want) || s.Depth().Waiting < whole || s.Depth().Waiting > whole+8 {
		t.Errorf("recovered %+v, %+v; want %d bytes and the next one's magic", r, s.Depth(), whole)
	}
	if diff := cmp.Diff(want, drain(t, s)); diff != "" || s.BadBytes() != 0 {
		t.Errorf("%d bad bytes, delivered after the restart (-want +got)\n%s", s.BadBytes(), diff)
	}
}
