package spool

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

func TestF29_aFullDiskRefusesOpensAndTakesFinals(t *testing.T) {
	t.Parallel()
	var room atomic.Int64
	room.Store(reserve)
	s, err := openMeasured(t.TempDir(), func() (int64, error) { return room.Load(), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := Record{Status: Opened, RequestID: uuid.New()}
	if err := s.Append(&r); err != nil {
		t.Fatal(err)
	}
	room.Store(reserve - 1)
	s.measure()
	next := Record{Status: Opened, RequestID: uuid.New()}
	if err := s.Append(&next); !fault.Is(err, fault.Unavailable) || fault.As(err).Kind != "metering_unavailable" {
		t.Errorf("an open record on a full disk: %v", err)
	}
	r.Status = Completed
	if err := s.Append(&r); err != nil {
		t.Errorf("the final record of an accepted request: %v", err)
	}
	room.Store(reserve)
	s.measure()
	if err := s.Append(&next); err != nil {
		t.Errorf("there is space again: %v", err)
	}
}

// TestF27_whatIsKeptMakesRoomFirst has segments of 16 MiB each that are kept on a
// disk that gets smaller.
func TestF27_whatIsKeptMakesRoomFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	used := func() (sum int64) {
		files, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
		for _, f := range files {
			if info, err := os.Stat(f); err == nil {
				sum += info.Size()
			}
		}
		return sum
	}
	var disk atomic.Int64
	disk.Store(1 << 40)
	s, err := openMeasured(dir, func() (int64, error) { return disk.Load() - used(), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kept := func() (numbers []int64) {
		t.Helper()
		if numbers, err = segments(s.dir); err != nil {
			t.Fatal(err)
		}
		return numbers[:len(numbers)-1]
	}
	write := func() {
		t.Helper()
		for range 1200 {
			if err := s.Append(&Record{Status: Completed, RequestID: uuid.New(), Model: strings.Repeat("m", 60<<10)}); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := s.Next(1200); err != nil || len(b.Records) != 1200 || s.Ack(b, Witness{}) != nil {
			t.Fatalf("%d records, %v", len(b.Records), err)
		}
	}
	write()
	if got := kept(); !slices.Equal(got, []int64{1, 2, 3, 4}) {
		t.Fatalf("segments %v are kept, want the first four", got)
	}
	disk.Store(used() + roomy - 2*segmentSize)
	s.measure()
	if got := kept(); !slices.Equal(got, []int64{3, 4}) || s.full.Load() {
		t.Errorf("segments %v are kept, want the newest two", got)
	}
	disk.Store(used() + reserve - 1)
	s.measure()
	if got := kept(); len(got) != 0 || s.full.Load() {
		t.Errorf("segments %v are kept, full: %v; want none, and room again", got, s.full.Load())
	}
	disk.Store(1 << 40)
	write()
	s.mu.Lock()
	s.parts[6].size = keepBytes // as if there were many more
	s.mu.Unlock()
	if b, err := s.Next(1); err != nil || s.Ack(b, Witness{}) != nil {
		t.Fatal(err)
	}
	if got := kept(); slices.Contains(got, 6) || !slices.Contains(got, 7) {
		t.Errorf("segments %v are kept, want those after the sixth", got)
	}
}

// TestF29_noTornRecordOnADiskWithoutSpace writes to a device that is always
// full, and then goes on in the segment as if nothing had been.
func TestF29_noTornRecordOnADiskWithoutSpace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	put := func(file *os.File) error {
		s.mu.Lock()
		old := s.file
		s.file = file
		s.mu.Unlock()
		err := s.Append(&Record{Status: Completed, RequestID: uuid.New()})
		s.mu.Lock()
		s.file = old
		s.mu.Unlock()
		return err
	}
	whole := s.file
	for _, file := range []*os.File{whole, full, whole} {
		if err := put(file); (err == nil) != (file == whole) {
			t.Errorf("Append to %s: %v", file.Name(), err)
		}
	}
	files, err := Inspect(dir)
	if err != nil || len(files) != 1 || files[0].Completed != 2 || files[0].BadBytes != 0 {
		t.Errorf("the folder has %+v, %v; want two records and no bad byte", files, err)
	}
}
