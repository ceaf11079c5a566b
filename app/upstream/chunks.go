package upstream

import "fmt"

// The places in a chunked body, RFC 9112 §7.1.
const (
	chunkSize = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer // at the start of a line
	chunkTrailerLine
	chunkTrailerLF
	chunkEndLF
	chunkDone
)

const maxChunkMeta = 4 << 10 // bytes of one chunk's size and extensions, or of all trailers

// chunks takes the framing out of a chunked body.
type chunks struct {
	state  uint8
	digits uint8
	meta   int   // bytes of framing since the last data
	left   int64 // of the chunk
}

// decode takes the framing out of the next bytes, in place. It returns how many
// bytes of data p begins with then, and how many bytes of p were used, which are
// all unless the body ends in it.
func (c *chunks) decode(p []byte) (n, used int, err error) {
	for used < len(p) && c.state != chunkDone {
		if c.state == chunkData {
			k := int(min(c.left, int64(len(p)-used)))
			if n != used {
				copy(p[n:], p[used:used+k])
			}
			n, used, c.left = n+k, used+k, c.left-int64(k)
			if c.left == 0 {
				c.state, c.meta = chunkDataCR, 0
			}
			continue
		}
		b := p[used]
		used++
		if c.meta++; c.meta > maxChunkMeta || !c.frame(b) {
			return 0, used, fmt.Errorf("%w: its chunks cannot be read", ErrMalformed)
		}
	}
	return n, used, nil
}

// frame takes one byte that is no data and reports whether it may stand there.
func (c *chunks) frame(b byte) bool {
	next := func(want byte, state uint8) bool {
		c.state = state
		return b == want
	}
	switch c.state {
	case chunkSize:
		return c.size(b)
	case chunkExtension:
		if b == '\r' {
			c.state = chunkSizeLF
		}
		return b != '\n'
	case chunkSizeLF:
		c.digits = 0
		if c.left == 0 {
			return next('\n', chunkTrailer)
		}
		return next('\n', chunkData)
	case chunkDataCR:
		return next('\r', chunkDataLF)
	case chunkDataLF:
		return next('\n', chunkSize)
	case chunkTrailer:
		if c.state = chunkTrailerLine; b == '\r' {
			c.state = chunkEndLF
		}
		return b != '\n'
	case chunkTrailerLine:
		if b == '\r' {
			c.state = chunkTrailerLF
		}
		return b != '\n'
	case chunkTrailerLF:
		return next('\n', chunkTrailer)
	case chunkEndLF:
		return next('\n', chunkDone)
	}
	return true
}

func (c *chunks) size(b byte) bool {
	digit := int64(-1)
	switch {
	case '0' <= b && b <= '9':
		digit = int64(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		digit = int64(b|0x20-'a') + 10
	case c.digits > 0 && b == '\r':
		c.state = chunkSizeLF
		return true
	case c.digits > 0 && (b == ';' || b == ' ' || b == '\t'):
		c.state = chunkExtension
		return true
	}
	if c.digits++; digit < 0 || c.digits > 15 {
		return false
	}
	c.left = c.left<<4 | digit
	return true
}
