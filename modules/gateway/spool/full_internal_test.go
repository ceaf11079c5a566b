package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

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
	disk.Store(used() + roomy - 2*int64(segmentSize-maxFrame))
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

// TestF29_noTornRecordOnADiskWithoutSpace stores a record in a file in memory
// that ends, and must not grow, in the middle of it.
func TestF29_noTornRecordOnADiskWithoutSpace(t *testing.T) {
	t.Parallel()
	const end = alignment
	fd, err := unix.MemfdCreate("full", unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "full")
	defer file.Close()
	if err := file.Truncate(end); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != nil {
		t.Fatal(err)
	}
	record := frame(nil, &Record{Status: Completed, RequestID: uuid.New()})
	full := &tail{file: file, size: end - int64(len(record))/2}
	before := full.size
	for range 2 {
		if err := full.append(record); err == nil || full.size != before {
			t.Errorf("a record of which half fits: %v, and then the segment has %d bytes, %d before", err, full.size, before)
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil || len(text) != end || resync(text) >= 0 || text[before] != 0 {
		t.Errorf("the file has %d bytes, %v; want %d and nothing that is taken for a record", len(text), err, end)
	}
	full.size -= int64(len(record))
	if err := full.append(record); err != nil || full.size != before {
		t.Errorf("a record that fits: %v", err)
	}
	if err := full.unmap(); err != nil {
		t.Error(err)
	}
}

// TestF30_aTailThatWasCutShortGrowsAgain has somebody truncate the segment that is
// written: one record fails, and later ones do not.
func TestF30_aTailThatWasCutShortGrowsAgain(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Truncate(segmentPath(s.dir, 1), alignment); err != nil {
		t.Fatal(err)
	}
	taken, refused := 0, 0
	for range 2 * alignment / 100 {
		switch err := s.Append(&Record{Status: Completed, RequestID: uuid.New()}); {
		case err == nil:
			taken++
		case fault.Is(err, fault.Unavailable) && fault.As(err).Kind == "metering_unavailable":
			refused++
		default:
			t.Fatal(err)
		}
	}
	b, err := s.Next(taken + 1)
	if err != nil || len(b.Records) != taken || refused != 1 || s.BadBytes() != 0 {
		t.Errorf("%d records of %d that were taken, %v, %d bad bytes, %d refused; want one", len(b.Records), taken, err, s.BadBytes(), refused)
	}
}
