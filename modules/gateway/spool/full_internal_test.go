package spool

import (
	"os"
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
