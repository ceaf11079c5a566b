// Package journal keeps lines in a file of bounded size: an engine's output, or
// the agent's events. Two files are kept, the one written to and the one before
// it, so a journal takes at most twice its limit.
package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// maxLine is how much of one line is kept, in bytes.
const maxLine = 64 << 10

// Journal is one file of lines. It is safe for concurrent use.
type Journal struct {
	path  string
	limit int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// Open opens the journal at path for appending; it turns to a new file when the
// one it writes to would get longer than limit bytes.
func Open(path string, limit int64) (*Journal, error) {
	j := &Journal{path: path, limit: limit}
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return j, nil
}

func (j *Journal) open() error {
	file, err := os.OpenFile(j.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	j.file, j.size = file, info.Size()
	return nil
}

// Add appends one line, without its end; what is beyond 64 KiB is left out.
func (j *Journal) Add(line []byte) error {
	line = line[:min(len(line), maxLine)]
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.size > 0 && j.size+int64(len(line)) >= j.limit {
		if err := j.turn(); err != nil {
			return fmt.Errorf("turn journal: %w", err)
		}
	}
	n, err := j.file.Write(append(bytes.Clone(line), '\n'))
	j.size += int64(n)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j *Journal) turn() error {
	err := j.file.Close()
	return errors.Join(err, os.Rename(j.path, j.before()), j.open())
}

func (j *Journal) before() string { return j.path + ".1" }

// Tail returns the last n lines for which keep is true, oldest first; a nil
// keep takes all.
func (j *Journal) Tail(n int, keep func(line []byte) bool) ([][]byte, error) {
	if n <= 0 {
		return nil, nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var last [][]byte
	for _, path := range []string{j.before(), j.path} {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		last, err = tail(last, file, n, keep)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
	}
	return last[max(0, len(last)-n):], nil
}

// tail appends the lines of r to last, which may grow to twice n.
func tail(last [][]byte, r io.Reader, n int, keep func(line []byte) bool) ([][]byte, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine+2)
	for lines.Scan() {
		if keep != nil && !keep(lines.Bytes()) {
			continue
		}
		if len(last) == 2*n {
			last = append(last[:0], last[n:]...)
		}
		last = append(last, bytes.Clone(lines.Bytes()))
	}
	return last, lines.Err()
}

// Close closes the file. Add fails from then on.
func (j *Journal) Close() error { return j.file.Close() }

// Lines is a writer that gives each whole line to a function, as a process's
// output is read. A line longer than 64 KiB is given in its first 64 KiB. Close
// gives what is left. It is not safe for concurrent use.
type Lines struct {
	give func(line []byte)
	part []byte
	skip bool // the rest of a line that is too long
}

// NewLines returns a writer that gives its lines to give, which must not keep
// them.
func NewLines(give func(line []byte)) *Lines { return &Lines{give: give} }

// Write never fails.
func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		if !l.skip {
			l.part = append(l.part, line[:min(len(line), maxLine-len(l.part))]...)
		}
		switch {
		case whole:
			if !l.skip {
				l.give(bytes.TrimSuffix(l.part, []byte{'\r'}))
			}
			l.part, l.skip = l.part[:0], false
		case len(l.part) == maxLine && !l.skip:
			l.give(l.part)
			l.part, l.skip = l.part[:0], true
		}
		p = rest
	}
	return n, nil
}

// Close gives the line that has no end yet.
func (l *Lines) Close() error {
	if len(l.part) > 0 {
		l.give(l.part)
		l.part = l.part[:0]
	}
	return nil
}
