package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// reader is how far records were delivered.
type reader struct {
	number int64 // segment
	offset int64 // in it; 0 means before the magic
}

// Batch is final records that are to be stored. They stay as they are until Next
// is called again.
type Batch struct {
	Records []Record
	end     reader
}

const readSize = 256 << 10 // bytes at once: some 400 requests, so little is read twice

// Next returns the next final records, at most limit of them, in the order in
// which they were written. The same ones are returned again until Ack. It is
// called by one goroutine. An empty batch means that there are none now.
func (s *Spool) Next(limit int) (Batch, error) {
	s.mu.Lock()
	at, newest, size := s.reader, s.number, s.sizeOf(s.reader.number)
	s.mu.Unlock()
	b := Batch{Records: s.batch[:0]}
	for len(b.Records) < limit {
		last := at.number == newest
		n, done, err := s.read(&b, &at, limit, size)
		if err != nil {
			return Batch{}, err
		}
		if done && last || n == 0 && !done {
			break
		}
		if done {
			at, size = s.after(at.number)
		}
	}
	b.end, s.batch = at, b.Records
	return b, nil
}

// read takes records from a segment of a size, up to readSize bytes of it, and
// reports how many bytes it used and whether the segment has no more.
func (s *Spool) read(b *Batch, at *reader, limit int, size int64) (used int64, done bool, err error) {
	file, err := os.Open(segmentPath(s.dir, at.number))
	if errors.Is(err, os.ErrNotExist) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the spool: %w", err)
	}
	defer file.Close()
	if at.offset == 0 {
		at.offset = int64(len(magic))
	}
	want := min(readSize, size-at.offset)
	if want <= 0 {
		return 0, true, nil
	}
	if s.text == nil {
		s.text = make([]byte, readSize)
	}
	text := s.text[:want]
	n, err := file.ReadAt(text, at.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, false, fmt.Errorf("read the spool: %w", err)
	}
	if int64(n) < want {
		size = at.offset + int64(n) // somebody has cut it short
	}
	taken, bad, _ := scan(text[:n], at.offset+int64(n) < size, func(r *Record) bool {
		if r.Status != Opened {
			b.Records = append(b.Records, *r)
		}
		return len(b.Records) < limit
	})
	if bad > 0 {
		if err := s.damaged(at.number, bad); err != nil {
			return 0, false, err
		}
	}
	at.offset += int64(taken)
	return int64(taken), at.offset >= size, nil
}

// after returns the beginning and the size of the segment after number.
func (s *Spool) after(number int64) (reader, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.number
	for n := range s.parts {
		if n > number && n < next {
			next = n
		}
	}
	return reader{number: next}, s.sizeOf(next)
}

// Ack says that the batch is stored, w being the last record of all that were
// stored. What was delivered a minute before is deleted, and earlier what there
// is no room for.
func (s *Spool) Ack(b Batch, w Witness) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.reader != b.end || s.witness != w
	s.reader, s.witness = b.end, w
	now, kept := time.Now(), int64(0)
	for n, p := range s.parts {
		if n < b.end.number && p.stored.IsZero() {
			p.stored = now
		}
		if !p.stored.IsZero() {
			kept += p.size
		}
	}
	err := s.forget(func(p *part) bool {
		tooMuch := kept > keepBytes || len(b.Records) > 0 && now.Sub(p.stored) >= keepFor
		kept -= p.size
		return tooMuch
	})
	if changed {
		err = errors.Join(err, s.note())
	}
	return err
}

// SetAside keeps a record that will never be stored in the quarantine, in a
// segment named refused, for people to look at.
func (s *Spool) SetAside(r *Record) error {
	folder := filepath.Join(s.dir, quarantine)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("set a usage record aside: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, "refused"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("set a usage record aside: %w", err)
	}
	_, err = file.Write(frame(nil, r))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("set a usage record aside: %w", err)
	}
	return nil
}
