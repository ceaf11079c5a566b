package gateway

import (
	"math/bits"
	"sync"
)

// Bodies and answers are read into memory that is used again. Its sizes are powers
// of two with a pool for each: a few great ones do not make all of it great, and
// many great ones, one after another, take no more than one does.
const smallSpace = 2 << 10 // most of what is said in chats

var spaces [21]sync.Pool //nolint:gochecknoglobals // as sync.Pool is meant; the last is for 2 GiB, twice the greatest body

// sized returns which of the sizes has room for so many bytes.
func sized(bytes int64) int { return bits.Len64(uint64(max(bytes, 1)-1) / smallSpace) }

// space returns empty memory for size bytes, good until release.
func (x *exchange) space(size int64) []byte {
	class := sized(size)
	b, _ := spaces[class].Get().(*[]byte) // the pools hold nothing else
	if b == nil {
		made := make([]byte, 0, smallSpace<<class)
		b = &made
	}
	x.spaces[x.spaced] = b
	x.spaced++
	return (*b)[:0]
}

// moved returns text, which fills the memory that space gave last, in memory of
// twice the size.
func (x *exchange) moved(text []byte) []byte {
	x.spaced--
	full := x.spaces[x.spaced]
	text = append(x.space(2*int64(cap(text))), text...)
	giveBack(full)
	return text
}

func giveBack(b *[]byte) { spaces[sized(int64(cap(*b)))].Put(b) }

// hold sets memory aside for the request, if all together stay within the limit.
func (x *exchange) hold(n int64) bool {
	s := x.service
	if s.held.Add(n) > s.limits.held {
		s.held.Add(-n)
		return false
	}
	x.held += n
	return true
}

// release gives back what hold and space gave. Nothing that was read may be
// looked at after it.
func (x *exchange) release() {
	x.service.held.Add(-x.held)
	x.held = 0
	for _, b := range x.spaces[:x.spaced] {
		giveBack(b)
	}
	x.spaced = 0
}
