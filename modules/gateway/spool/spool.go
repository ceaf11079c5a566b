package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

const (
	segmentSize = 16 << 20
	syncEvery   = 100 * time.Millisecond
	reserve     = 64 << 20 // free bytes kept for final records
)

// Spool is an open spool. Its methods may be called at the same time.
type Spool struct {
	dir  string
	lock *os.File

	mu      sync.Mutex // of all below
	file    *os.File
	number  int64 // of the segment that is written
	size    int64
	dirty   bool
	buf     []byte
	closed  bool
	flights map[uuid.UUID]int64 // requests without a final record, and the segment of their open one
	parts   map[int64]*part     // segments on disk
	reader  reader

	text   []byte // of a segment, for Next alone
	full   atomic.Bool
	stop   chan struct{}
	synced sync.WaitGroup

	// Recovered says what was found at the start.
	Recovered Recovery
}

// part is what is known of a segment.
type part struct {
	open int  // requests whose open record is here and whose final one is nowhere yet
	read bool // everything in it was delivered and acknowledged, and it grows no more
}

// Recovery says what a start found.
type Recovery struct {
	Finals      int // final records still to be delivered, or delivered twice
	Interrupted int // open records without a final one
	BadBytes    int // neither
}

// Open opens the spool in dir, which it makes, and recovers what a crash left:
// an open record without a final one becomes an interrupted one. It fails with
// fault.Conflict when another process has it open, and with fault.Invalid when
// dir cannot be written.
func Open(dir string) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Newf(fault.Invalid, "The usage spool %s cannot be written.", dir).WithFix("Check DATA_DIR.").WithCause(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "The usage spool %s cannot be written.", dir).WithFix("Check DATA_DIR.").WithCause(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fault.Newf(fault.Conflict, "Another inventiv already writes the usage spool %s.", dir).
			WithFix("Give each replica its own DATA_DIR.").WithKind("data_dir_in_use").WithCause(err)
	}
	s := &Spool{
		dir: dir, lock: lock, flights: map[uuid.UUID]int64{}, parts: map[int64]*part{}, stop: make(chan struct{}),
	}
	if err := s.recover(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	s.measure()
	s.synced.Go(s.keepSynced)
	return s, nil
}

// recover reads what is there and begins a new segment with the final records
// that a crash prevented.
func (s *Spool) recover() error {
	numbers, err := segments(s.dir)
	if err != nil {
		return err
	}
	open := map[uuid.UUID]Record{}
	for _, n := range numbers {
		text, err := os.ReadFile(segmentPath(s.dir, n))
		if err != nil {
			return fmt.Errorf("recover the spool: %w", err)
		}
		bad := 0
		switch {
		case len(text) < len(magic):
			text = nil // a crash right after it was made
		case string(text[:len(magic)]) != magic:
			bad, text = len(text), nil
		default:
			text = text[len(magic):]
		}
		bad += scan(text, func(r Record) {
			if r.Status == Opened {
				open[r.RequestID] = r
				return
			}
			delete(open, r.RequestID)
			s.Recovered.Finals++
		})
		if bad > 0 {
			s.Recovered.BadBytes += bad
			if err := s.quarantine(n); err != nil {
				return err
			}
		}
		s.parts[n] = &part{}
		s.number = n
	}
	if len(numbers) > 0 {
		s.reader.number = numbers[0]
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
	return s.file.Sync() //nolint:wrapcheck // an os.PathError says it all
}

// quarantine keeps a copy of a damaged segment.
func (s *Spool) quarantine(number int64) error {
	folder := filepath.Join(s.dir, "quarantine")
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
	return errors.Join(err, to.Close())
}

// rotate begins a new segment. If it fails, the old one is still there to be
// written.
func (s *Spool) rotate() error {
	if s.file != nil {
		if err := s.file.Sync(); err != nil {
			return fmt.Errorf("end a spool segment: %w", err)
		}
	}
	file, err := os.OpenFile(segmentPath(s.dir, s.number+1), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("begin a spool segment: %w", err)
	}
	_, err = file.WriteString(magic)
	if err = errors.Join(err, syncFolder(s.dir)); err != nil {
		return errors.Join(fmt.Errorf("begin a spool segment: %w", err), file.Close(), os.Remove(file.Name()))
	}
	if s.file != nil {
		_ = s.file.Close() // it is synced
	}
	s.number++
	s.file, s.size = file, int64(len(magic))
	s.parts[s.number] = &part{}
	if s.reader.number == 0 {
		s.reader.number = s.number
	}
	return nil
}

// syncFolder makes a new file's name survive a power loss.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the spool's folder: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync the spool's folder: %w", err)
	}
	return nil
}

// Append writes a record; it is with the operating system when Append returns.
// Open records fail with fault.Unavailable (metering_unavailable) when the disk
// is nearly full, any record when it cannot be written.
func (s *Spool) Append(r *Record) error {
	if r.Status == Opened && s.full.Load() {
		return unavailable(errors.New("the disk is nearly full"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return unavailable(os.ErrClosed)
	}
	if s.size >= segmentSize {
		if err := s.rotate(); err != nil {
			return unavailable(err)
		}
	}
	if err := s.write(r); err != nil {
		return unavailable(err)
	}
	if r.Status == Opened {
		s.flights[r.RequestID] = s.number
		s.parts[s.number].open++
		return nil
	}
	if n, ok := s.flights[r.RequestID]; ok {
		delete(s.flights, r.RequestID)
		s.parts[n].open--
	}
	return nil
}

func unavailable(err error) error {
	return fault.New(fault.Unavailable, "Usage cannot be recorded at the moment, so no request is accepted.").
		WithFix("Try again later; the operator sees the reason in the log.").WithKind("metering_unavailable").WithCause(err)
}

// write appends the record to the segment; what was written in part is cut off.
func (s *Spool) write(r *Record) error {
	s.buf = frame(s.buf[:0], r)
	n, err := s.file.Write(s.buf)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, s.file.Truncate(s.size))
		}
		return fmt.Errorf("write the spool: %w", err)
	}
	s.size += int64(n)
	s.dirty = true
	return nil
}

// keepSynced syncs the disk while there is something to sync, and looks at how
// much of it is free.
func (s *Spool) keepSynced() {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		file, dirty := s.file, s.dirty
		s.dirty = false
		s.mu.Unlock()
		if dirty && file.Sync() != nil {
			s.mu.Lock()
			s.dirty = s.file == file // a rotated one was synced by rotate
			s.mu.Unlock()
		}
		s.measure()
	}
}

func (s *Spool) measure() {
	var st unix.Statfs_t
	if unix.Statfs(s.dir, &st) == nil {
		s.full.Store(int64(st.Bavail)*st.Bsize < reserve)
	}
}

// Depth returns how many bytes wait on disk, and how many requests have no
// final record yet.
func (s *Spool) Depth() (bytes int64, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.parts {
		if info, err := os.Stat(segmentPath(s.dir, n)); err == nil {
			bytes += info.Size()
		}
	}
	return bytes - s.reader.offsetIn(s.number), len(s.flights)
}

// Close syncs and closes the spool. What was not delivered is at the next start.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.synced.Wait()
	if err := errors.Join(s.file.Sync(), s.file.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("close the spool: %w", err)
	}
	return nil
}
