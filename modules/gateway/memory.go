package gateway

import "sync"

// Bodies and answers are read into memory that is used again: small ones, and
// great ones apart, so that a few of those do not make all of it great.
const (
	smallSpace = 8 << 10
	greatSpace = 1 << 20
)

var (
	smallSpaces = sync.Pool{New: func() any { b := make([]byte, 0, smallSpace); return &b }} //nolint:gochecknoglobals // as sync.Pool is meant
	greatSpaces = sync.Pool{New: func() any { return new([]byte) }}                          //nolint:gochecknoglobals // likewise
)

// space returns empty memory for size bytes, good until release.
func (x *exchange) space(size int64) []byte {
	pool := &smallSpaces
	switch {
	case size > greatSpace:
		return make([]byte, 0, size)
	case size > smallSpace:
		pool = &greatSpaces
	}
	b, _ := pool.Get().(*[]byte) // the pools hold nothing else
	if int64(cap(*b)) < size {
		*b = make([]byte, 0, size)
	}
	x.spaces[x.spaced] = b
	x.spaced++
	return (*b)[:0]
}

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
		if cap(*b) > smallSpace {
			greatSpaces.Put(b)
		} else {
			smallSpaces.Put(b)
		}
	}
	x.spaced = 0
}
