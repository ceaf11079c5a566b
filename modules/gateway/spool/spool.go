package spool

import (
	"errors"
	"fmt"
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
	syncEvery = 100 * time.Millisecond
	reserve   = 64 << 20 // free bytes kept for final records
)

// Spool is an open spool. Its methods may be called at the same time.
type Spool struct {
	dir  string
	lock *os.File
	free func() (int64, error) // bytes that can still be written

	mu      sync.Mutex // of all below
	tail    *tail
	number  int64 // of the tail
	dirty   bool
	buf     []byte
	closed  bool
	flights map[uuid.UUID]int64 // requests without a final record, and the segment of their open one
	parts   map[int64]*part     // segments on disk
	reader  reader
	witness Witness  // of what was delivered
	noted   *os.File // the two, on disk
	bad     int64    // bytes that were no record

	text   []byte   // of a segment, for Next alone
	batch  []Record // what it has returned
	full   atomic.Bool
	stop   chan struct{}
	synced sync.WaitGroup

	// Recovered says what was found at the start.
	Recovered Recovery
}

// part is what is known of a segment.
type part struct {
	open   int       // requests whose open record is here and whose final one is nowhere yet
	size   int64     // in bytes, of one that grows no more
	stored time.Time // when all of it was delivered and acknowledged; zero before, and while it grows
	bad    bool      // a copy of it is in the quarantine
}

// Open opens the spool in dir, which it makes, and recovers what a crash left:
// an open record without a final one becomes an interrupted one. It fails with
// fault.Conflict when another process has it open, and with fault.Invalid when
// dir cannot be used.
func Open(dir string) (*Spool, error) {
	return openMeasured(dir, func() (int64, error) { return freeIn(dir) })
}

func openMeasured(dir string, free func() (int64, error)) (*Spool, error) {
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
		dir: dir, lock: lock, free: free, flights: map[uuid.UUID]int64{}, parts: map[int64]*part{}, stop: make(chan struct{}),
	}
	if err := s.recover(); err != nil {
		_ = lock.Close()
		return nil, fault.Newf(fault.Invalid, "The usage spool %s cannot be used.", dir).
			WithFix("Check DATA_DIR: it belongs on a local disk, whose files can be mapped into memory.").WithCause(err)
	}
	s.measure()
	s.synced.Go(s.keepSynced)
	return s, nil
}

// rotate begins a new segment. If it fails, the old one is still there to be
// written.
func (s *Spool) rotate() error {
	if s.tail != nil {
		if err := s.tail.file.Sync(); err != nil {
			return fmt.Errorf("end a spool segment: %w", err)
		}
	}
	next, err := begin(segmentPath(s.dir, s.number+1))
	if err != nil {
		return err
	}
	if err := syncFolder(s.dir); err != nil {
		return errors.Join(err, next.drop())
	}
	if s.tail != nil {
		_ = s.tail.end() // what it does not give back, a start does
		s.parts[s.number].size = s.tail.size
	}
	s.number++
	s.tail = next
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

// Append stores a record; it is with the operating system when Append returns.
// An open record may be appended again with what has been counted since.
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
	if err := s.write(r); err != nil {
		return unavailable(err)
	}
	if n, ok := s.flights[r.RequestID]; ok {
		delete(s.flights, r.RequestID)
		s.parts[n].open--
	}
	if r.Status == Opened {
		s.flights[r.RequestID] = s.number
		s.parts[s.number].open++
	}
	return nil
}

func unavailable(err error) error {
	return fault.New(fault.Unavailable, "Usage cannot be recorded at the moment, so no request is accepted.").
		WithFix("Try again later; the operator sees the reason in the log.").WithKind("metering_unavailable").WithCause(err)
}

// write appends the record to the tail, or to a new one.
func (s *Spool) write(r *Record) error {
	s.buf = frame(s.buf[:0], r)
	if len(s.buf) > maxFrame {
		return errPayload
	}
	if !s.tail.fits(len(s.buf)) {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	if err := s.tail.append(s.buf); err != nil {
		return err
	}
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
		file, dirty := s.tail.file, s.dirty
		s.dirty = false
		s.mu.Unlock()
		if dirty && file.Sync() != nil {
			s.mu.Lock()
			s.dirty = s.tail.file == file // a rotated one was synced by rotate
			s.mu.Unlock()
		}
		s.measure()
	}
}

// measure looks whether there is room for open records. What is kept makes room
// first.
func (s *Spool) measure() {
	free, err := s.free()
	if err != nil {
		return
	}
	if free < roomy {
		s.mu.Lock()
		_ = s.forget(func(p *part) bool { // what fails is tried again
			short := free < roomy
			free += p.size
			return short
		})
		s.mu.Unlock()
	}
	s.full.Store(free < reserve)
}

func freeIn(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("measure the spool's disk: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// BadBytes returns how many bytes were found to be no record, at the start and
// since.
func (s *Spool) BadBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad
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
	// A process that is being made may hold a copy of the lock's file for a moment.
	unlock := unix.Flock(int(s.lock.Fd()), unix.LOCK_UN)
	if err := errors.Join(s.tail.file.Sync(), s.tail.end(), s.noted.Close(), unlock, s.lock.Close()); err != nil {
		return fmt.Errorf("close the spool: %w", err)
	}
	return nil
}
