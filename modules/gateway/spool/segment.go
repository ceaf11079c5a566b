package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	magic   = "invspl1\n"
	mark    = "\xA5\x5A"
	headLen = len(mark) + 4 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // constant table

// frame appends a record as it stands in a segment.
func frame(b []byte, r *Record) []byte {
	start := len(b)
	b = append(b, mark...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = r.encode(b)
	payload := b[start+headLen:]
	binary.LittleEndian.PutUint32(b[start+2:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[start+6:], crc32.Checksum(payload, castagnoli))
	return b
}

// unframe reads the record at the start of b into r and returns its length. It
// returns 0 when b ends before the record does, and -1 when there is none.
func unframe(b []byte, r *Record) int {
	if !bytes.HasPrefix([]byte(mark), b[:min(len(b), len(mark))]) {
		return -1
	}
	if len(b) < headLen {
		return 0
	}
	size := binary.LittleEndian.Uint32(b[2:])
	if size > maxPayload {
		return -1
	}
	end := headLen + int(size)
	if len(b) < end {
		return 0
	}
	payload := b[headLen:end]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(b[6:]) || r.decode(payload) != nil {
		return -1
	}
	return end
}

// scan calls each for the whole records in b, which is a segment without its
// magic, and returns how many bytes were not a record. A last one that is cut
// off does not count: a crash leaves that.
func scan(b []byte, each func(Record)) (bad int) {
	for len(b) > 0 {
		var r Record
		n := unframe(b, &r)
		if n > 0 {
			each(r)
			b = b[n:]
			continue
		}
		next := resync(b[1:])
		if next < 0 {
			if n == 0 {
				return bad
			}
			return bad + len(b)
		}
		bad += 1 + next
		b = b[1+next:]
	}
	return bad
}

// resync returns where the next whole record starts, or -1.
func resync(b []byte) int {
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(mark))
		if i < 0 {
			return -1
		}
		var r Record
		if unframe(b[at+i:], &r) > 0 {
			return at + i
		}
		at += i + 1
	}
}

func segmentPath(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("%012d.seg", number))
}

// segments lists the numbers of a folder's segments in order.
func segments(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir) // sorted by name, so by number
	if err != nil {
		return nil, fmt.Errorf("list the spool: %w", err)
	}
	var numbers []int64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".seg")
		n, err := strconv.ParseInt(name, 10, 64)
		if ok && err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// Read calls each for every record in a spool folder, the oldest first, without
// changing anything, and returns how many bytes could not be read. It is for
// looking at a spool, also one in use.
func Read(dir string, each func(Record)) (bad int, err error) {
	numbers, err := segments(dir)
	if err != nil {
		return 0, err
	}
	for _, n := range numbers {
		text, err := os.ReadFile(segmentPath(dir, n))
		if os.IsNotExist(err) {
			continue // delivered meanwhile
		}
		if err != nil {
			return bad, fmt.Errorf("read the spool: %w", err)
		}
		body, ok := bytes.CutPrefix(text, []byte(magic))
		if !ok {
			bad += len(text)
			continue
		}
		bad += scan(body, each)
	}
	return bad, nil
}
