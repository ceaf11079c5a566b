package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// Recovery says what a start found.
type Recovery struct {
	Finals      int // final records still to be delivered
	Interrupted int // open records without a final one
	TornBytes   int // of a record that was being written; nobody was told that it is
	BadBytes    int // none of these
}

// recover reads what is there and begins a new segment with the final records
// that a crash prevented.
func (s *Spool) recover() error {
	numbers, err := segments(s.dir)
	if err != nil {
		return err
	}
	mark, witness := recall(s.dir)
	s.reader, s.witness = readerAt(mark), witness
	open := map[uuid.UUID]Record{}
	for _, n := range numbers {
		text, err := os.ReadFile(segmentPath(s.dir, n))
		if err != nil {
			return fmt.Errorf("recover the spool: %w", err)
		}
		p := &part{}
		if n < s.reader.number {
			p.stored = time.Now() // or before: it is kept a little longer
		}
		s.parts[n], s.number = p, n
		bad, room := scanSegment(text, s.reader.keptOf(n, int64(len(text))), func(r *Record, kept bool) {
			if r.Status == Opened {
				open[r.RequestID] = *r
				return
			}
			delete(open, r.RequestID)
			if !kept {
				s.Recovered.Finals++
			}
		})
		if room > 0 {
			if err := s.giveBack(n, text, room); err != nil {
				return err
			}
		}
		p.size = int64(len(text) - room)
		if bad > 0 {
			s.Recovered.BadBytes += bad
			if err := s.damaged(n, bad); err != nil {
				return err
			}
		}
	}
	if mark == 0 && len(numbers) > 0 {
		s.reader.number = numbers[0]
	}
	s.number = max(s.number, s.reader.number) // no segment comes before the mark, should others have been deleted
	if s.noted, err = os.OpenFile(filepath.Join(s.dir, noteName), os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("recover the spool: %w", err)
	}
	if err := s.rotate(); err != nil {
		return err
	}
	for _, r := range open {
		r.Status, r.Error = Interrupted, "process_killed"
		if err := s.write(&r); err != nil {
			return err
		}
		s.Recovered.Interrupted++
	}
	return s.tail.file.Sync() //nolint:wrapcheck // an os.PathError says it all
}

// giveBack ends a segment behind its last record: a kill leaves what was set
// aside for more, and maybe a record that was being stored.
func (s *Spool) giveBack(number int64, text []byte, room int) error {
	s.Recovered.TornBytes += len(bytes.Trim(text[len(text)-room:], "\x00"))
	if err := os.Truncate(segmentPath(s.dir, number), int64(len(text)-room)); err != nil {
		return fmt.Errorf("recover the spool: %w", err)
	}
	return nil
}

// damaged counts bytes of a segment that are no record, once, and keeps a copy
// of it in the quarantine.
func (s *Spool) damaged(number int64, bytes int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.parts[number]
	if p == nil || p.bad {
		return nil
	}
	folder := filepath.Join(s.dir, quarantine)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("quarantine a segment: %w", err)
	}
	from, err := os.Open(segmentPath(s.dir, number))
	if err != nil {
		return fmt.Errorf("quarantine a segment: %w", err)
	}
	defer from.Close()
	to, err := os.OpenFile(segmentPath(folder, number), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("quarantine a segment: %w", err)
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("quarantine a segment: %w", err)
	}
	p.bad = true
	s.bad += int64(bytes)
	return nil
}
