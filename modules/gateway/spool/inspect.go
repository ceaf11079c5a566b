package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

const quarantine = "quarantine" // the folder of what is damaged or refused

// File is what is in one file of a spool.
type File struct {
	Name        string // below the spool's folder
	Bytes       int64
	KeptBytes   int64 // of these, up to the last record that is stored; or set aside
	Waiting     int   // final records that are not stored
	Completed   int   // final records, stored or not
	Interrupted int
	Open        int // requests that have no final record anywhere
	BadBytes    int // neither
}

// Inspect says what is in a spool folder and its quarantine, the oldest segment
// first. It changes nothing and may be used on a spool that is in use: what is
// being written or deleted meanwhile is not there.
func Inspect(dir string) ([]File, error) {
	numbers, err := segments(dir)
	if err != nil {
		return nil, err
	}
	mark, _ := recall(dir)
	delivered := readerAt(mark)
	var files []File
	open := map[uuid.UUID]int{} // where the newest open record is
	for _, n := range numbers {
		kept := func(size int64) int64 { return delivered.keptOf(n, size) }
		f, err := inspect(dir, filepath.Base(segmentPath(dir, n)), kept, func(r *Record) {
			if r.Status == Opened {
				open[r.RequestID] = len(files)
			} else {
				delete(open, r.RequestID)
			}
		})
		if errors.Is(err, os.ErrNotExist) {
			continue // delivered meanwhile
		}
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	for _, at := range open {
		files[at].Open++
	}
	aside, err := os.ReadDir(filepath.Join(dir, quarantine))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list the quarantine: %w", err)
	}
	for _, e := range aside {
		f, err := inspect(dir, filepath.Join(quarantine, e.Name()), func(size int64) int64 { return size }, func(*Record) {})
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// inspect counts what is in a file, of whose size kept says how much does not
// wait, and calls each for its records. Damage is looked at twice: it may have
// been a write in progress.
func inspect(dir, name string, kept func(size int64) int64, each func(*Record)) (File, error) {
	for again := true; ; again = false {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return File{}, fmt.Errorf("read the spool: %w", err)
		}
		f := File{Name: name, KeptBytes: kept(int64(len(text)))}
		bad, room := scanSegment(text, f.KeptBytes, func(r *Record, kept bool) {
			if r.Status != Opened && !kept {
				f.Waiting++
			}
			switch r.Status {
			case Completed:
				f.Completed++
			case Interrupted:
				f.Interrupted++
			case Opened:
			}
			each(r)
		})
		f.Bytes, f.BadBytes = int64(len(text)-room), bad
		if f.BadBytes == 0 || !again {
			return f, nil
		}
	}
}

// scanSegment calls each for the records in a whole segment, the first kept
// bytes of which were delivered, and returns how many bytes of it are something
// else, and how many were set aside for more.
func scanSegment(text []byte, kept int64, each func(r *Record, kept bool)) (bad, room int) {
	switch {
	case bytes.HasPrefix([]byte(magic), text):
		return 0, 0 // a crash right after it was made
	case bytes.HasPrefix(text, []byte(magic)):
		text, kept = text[len(magic):], max(kept-int64(len(magic)), 0)
	}
	_, bad, room = scan(text[:kept], false, func(r *Record) bool { each(r, true); return true })
	if int(kept) < len(text) {
		var worse int
		_, worse, room = scan(text[kept:], false, func(r *Record) bool { each(r, false); return true })
		bad += worse
	}
	return bad, room
}
