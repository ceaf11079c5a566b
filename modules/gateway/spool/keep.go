package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
)

// What was delivered is kept for a while: a standby that is promoted may lack
// the last moments of what its primary had committed.
const (
	keepFor   = time.Minute
	keepBytes = 256 << 20   // of segments that are kept
	roomy     = 2 * reserve // free bytes, below which none is

	noteName = "delivered" // the file with the spool's mark and witness
)

// mark is a place as one number, greater for later places: a segment is far
// smaller than 4 GiB.
func (r reader) mark() int64 { return r.number<<32 | r.offset }

func readerAt(mark int64) reader { return reader{number: mark >> 32, offset: mark & (1<<32 - 1)} }

// Witness is the record that the database took last. Records are stored in
// order, so a database that has it has all those before it, and one that lacks
// it has lost something. The zero witness is of a spool that has none.
type Witness struct {
	Organisation, RequestID uuid.UUID
	StartedAt               time.Time
}

// Witness returns what the last Ack was given, maybe before a restart.
func (s *Spool) Witness() Witness {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.witness
}

// Confirm says that the database still has what it has taken. Segments that were
// delivered a minute ago are deleted.
func (s *Spool) Confirm() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forget(func(p *part) bool { return time.Since(p.stored) >= keepFor })
}

// Again has everything that is still on disk delivered once more: the database
// lacks what it had taken.
func (s *Spool) Again() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reader = reader{number: s.number}
	for n, p := range s.parts {
		p.stored = time.Time{}
		s.reader.number = min(s.reader.number, n)
	}
	s.witness = Witness{}
	return s.note()
}

// note writes down how far the records were delivered. It is not synced: after a
// power loss more is delivered again than had to be.
func (s *Spool) note() error {
	if _, err := s.noted.WriteAt(noteOf(s.reader.mark(), s.witness), 0); err != nil {
		return fmt.Errorf("note what was delivered: %w", err)
	}
	return nil
}

// noteOf returns the text of the file: always as long, and with a sum, for a
// wrong mark would lose records.
func noteOf(mark int64, w Witness) []byte {
	started := int64(0)
	if !w.StartedAt.IsZero() {
		started = w.StartedAt.UnixNano()
	}
	text := fmt.Appendf(nil, "%020d %s %s %020d", mark, w.Organisation, w.RequestID, started)
	return fmt.Appendf(text, " %08x\n", crc32.Checksum(text, castagnoli))
}

// recall reads what note has written. Without that, all is delivered from the
// beginning, which has the mark 0.
func recall(dir string) (mark int64, w Witness) {
	text, _ := os.ReadFile(filepath.Join(dir, noteName))
	var organisation, request string
	var started int64
	if _, err := fmt.Sscanf(string(text), "%d %s %s %d", &mark, &organisation, &request, &started); err != nil {
		return 0, Witness{}
	}
	w.Organisation, w.RequestID = parsed(organisation), parsed(request)
	if started != 0 {
		w.StartedAt = time.Unix(0, started).UTC()
	}
	if !bytes.Equal(text, noteOf(mark, w)) {
		return 0, Witness{}
	}
	return mark, w
}

// parsed returns nothing of what is no id: the sum tells.
func parsed(id string) uuid.UUID {
	u, _ := uuid.Parse(id)
	return u
}

// forget deletes those of the kept segments that are too much, the oldest first.
func (s *Spool) forget(tooMuch func(*part) bool) error {
	var kept []int64
	for n, p := range s.parts {
		if !p.stored.IsZero() && p.open == 0 && n != s.number {
			kept = append(kept, n)
		}
	}
	slices.Sort(kept)
	var errs []error
	for _, n := range kept {
		if !tooMuch(s.parts[n]) {
			continue
		}
		if err := os.Remove(segmentPath(s.dir, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		delete(s.parts, n)
	}
	if len(errs) > 0 {
		return fmt.Errorf("delete delivered segments: %w", errors.Join(errs...))
	}
	return nil
}

// Depth is how much a spool holds.
type Depth struct {
	Waiting int64 // bytes that are to be delivered
	Kept    int64 // bytes that were
	Open    int   // requests that have no final record yet
}

// Depth returns how much is on disk.
func (s *Spool) Depth() Depth {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Depth{Open: len(s.flights)}
	for n := range s.parts {
		size := s.sizeOf(n)
		kept := s.reader.keptOf(n, size)
		d.Kept += kept
		d.Waiting += size - kept
	}
	return d
}

// sizeOf returns what is written of a segment, which the file's size does not
// tell: room may be set aside behind it. mu is held.
func (s *Spool) sizeOf(number int64) int64 {
	if number == s.number {
		return s.tail.size
	}
	if p := s.parts[number]; p != nil {
		return p.size
	}
	return 0
}

// keptOf returns how many bytes of a segment were delivered.
func (r reader) keptOf(number, size int64) int64 {
	switch {
	case number < r.number:
		return size
	case number == r.number:
		return min(r.offset, size)
	}
	return 0
}
