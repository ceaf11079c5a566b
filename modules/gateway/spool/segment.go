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

	maxFrame = headLen + maxPayload
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

// scan reads the records in b, which is a piece of a segment, calls each for
// them until it says false, and returns how many bytes it used and how many of
// those were no record. If more bytes follow b in the segment, a record that b
// cuts off is left for the next piece; else what was set aside for more at the
// end, zeros and maybe a record without its mark, is neither, and room says how
// much it is.
func scan(b []byte, more bool, each func(*Record) bool) (used, bad, room int) {
	var r Record
	for used < len(b) {
		rest := b[used:]
		if !more && rest[0] == 0 && resync(rest) < 0 {
			return len(b), bad, len(rest)
		}
		if n := unframe(rest, &r); n > 0 {
			used += n
			if !each(&r) {
				return used, bad, 0
			}
			continue
		}
		if more && len(rest) < maxFrame {
			return used, bad, 0
		}
		skip := resync(rest[1:]) + 1
		if skip == 0 {
			if skip = len(bytes.TrimRight(rest, "\x00")); more { // a good one may begin at the end
				skip = len(rest) - (maxFrame - 1)
			}
		}
		used, bad = used+skip, bad+skip
	}
	return used, bad, 0
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
