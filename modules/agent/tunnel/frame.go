package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// kind is what a frame says. A frame is a head of eight bytes, its kind (1), an
// amount (3) and a stream (4), and for data as many bytes as the amount says.
type kind uint8

const (
	frameOpen   kind = iota + 1 // a new stream; ids are counted up, from one
	frameData                   // of the stream
	frameCredit                 // so many bytes more of the stream may be sent
	frameClose                  // of the stream nothing more is sent, and nothing more is read
	frameAlive                  // by whom nothing else was sent for a while
	frameLeave                  // no further streams are taken
)

const (
	headSize = 8
	// maxData is the longest payload: short, so that a long body leaves gaps for
	// the frames of others.
	maxData = 8 << 10
	// window is how much of a stream may be on its way without having been read.
	window = 256 << 10
)

// errFrame is wrapped by what says why a peer's frames make no sense.
var errFrame = errors.New("peer breaks the protocol")

// frame is a frame that was read. Its payload is part of what it was read from.
type frame struct {
	kind    kind
	amount  uint32
	stream  uint32
	payload []byte
}

// appendHead appends the head of a frame.
func appendHead(b []byte, k kind, amount int, stream uint32) []byte {
	b = append(b, byte(k), byte(amount>>16), byte(amount>>8), byte(amount))
	return binary.BigEndian.AppendUint32(b, stream)
}

// parseFrame reads the frame that b begins with and returns its length, which is
// zero while some of it is missing.
func parseFrame(b []byte) (f frame, size int, err error) {
	if len(b) < headSize {
		return frame{}, 0, nil
	}
	f = frame{kind: kind(b[0]), amount: binary.BigEndian.Uint32(b) & 0xFFFFFF, stream: binary.BigEndian.Uint32(b[4:])}
	least, most, ofStream := uint32(0), uint32(0), true
	switch f.kind {
	case frameData:
		least, most = 1, maxData
	case frameCredit:
		least, most = 1, window
	case frameOpen, frameClose:
	case frameAlive, frameLeave:
		ofStream = false
	default:
		return frame{}, 0, fmt.Errorf("%w: frame of kind %d", errFrame, f.kind)
	}
	if f.amount < least || f.amount > most || ofStream != (f.stream != 0) {
		return frame{}, 0, fmt.Errorf("%w: frame of kind %d with amount %d on stream %d", errFrame, f.kind, f.amount, f.stream)
	}
	size = headSize
	if f.kind == frameData {
		if size += int(f.amount); len(b) < size {
			return frame{}, 0, nil
		}
		f.payload = b[headSize:size]
	}
	return f, size, nil
}
