package spool

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const (
	segmentSize = 16 << 20
	windowSize  = 1 << 20  // bytes of the tail that are in memory
	alignment   = 64 << 10 // of the window: a multiple of any machine's page
)

// tail is the segment that is written. A window of it is memory that is shared
// with the operating system: what is stored there outlives the process as if it
// had been written, without a system call.
type tail struct {
	file   *os.File
	size   int64 // of what is written; the file has segmentSize bytes until end
	window []byte
	at     int64 // of the window
}

// begin makes the segment at path.
func begin(path string) (*tail, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin a spool segment: %w", err)
	}
	t := &tail{file: file}
	if err := errors.Join(t.setAside(), t.append([]byte(magic))); err != nil {
		return nil, errors.Join(err, t.drop())
	}
	return t, nil
}

// setAside takes the disk's room for the whole segment, so that no record finds
// it full. Where there is none, or a file system cannot tell, it is taken as
// records come.
func (t *tail) setAside() error {
	if unix.Fallocate(int(t.file.Fd()), 0, 0, segmentSize) == nil {
		return nil
	}
	return t.file.Truncate(segmentSize) //nolint:wrapcheck // an os.PathError says it all
}

// fits reports whether n more bytes belong into the segment.
func (t *tail) fits(n int) bool { return t.size+int64(n) <= segmentSize }

// append stores b. Its first two bytes, which are a record's mark, come last: a
// process that is killed meanwhile has stored nothing. It fails when there is no
// room on the disk after all, or the disk is broken, which the kernel tells with
// SIGBUS.
func (t *tail) append(b []byte) (err error) {
	if err := t.move(len(b)); err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, fault := r.(interface { // that runtime/debug promises
				runtime.Error
				Addr() uintptr
			}); !fault {
				panic(r)
			}
			err = errors.Join(fmt.Errorf("store in %s: the disk has no room, or is broken", t.file.Name()), t.setAside()) // for the next one
		}
	}()
	to := t.window[t.size-t.at:][:len(b)]
	copy(to[len(mark):], b[len(mark):])
	copy(to, b[:len(mark)])
	t.size += int64(len(b))
	return nil
}

// move makes the next n bytes of the segment be in the window.
func (t *tail) move(n int) error {
	if t.size >= t.at && t.size+int64(n) <= t.at+int64(len(t.window)) {
		return nil
	}
	if err := t.unmap(); err != nil {
		return err
	}
	t.at = t.size / alignment * alignment
	window, err := unix.Mmap(int(t.file.Fd()), t.at, int(min(windowSize, segmentSize-t.at)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", t.file.Name(), err)
	}
	t.window = window
	return nil
}

func (t *tail) unmap() error {
	if t.window == nil {
		return nil
	}
	window := t.window
	t.window = nil
	if err := unix.Munmap(window); err != nil {
		return fmt.Errorf("unmap %s: %w", t.file.Name(), err)
	}
	return nil
}

// end gives back the room that was not needed, and closes the segment. Whoever
// wants it on the disk has synced it.
func (t *tail) end() error {
	if err := errors.Join(t.unmap(), t.file.Truncate(t.size), t.file.Close()); err != nil {
		return fmt.Errorf("end a spool segment: %w", err)
	}
	return nil
}

// drop deletes the segment.
func (t *tail) drop() error {
	return errors.Join(t.unmap(), t.file.Close(), os.Remove(t.file.Name()))
}
