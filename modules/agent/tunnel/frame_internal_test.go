package tunnel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
)

func TestSession_peerThatBreaksTheProtocol(t *testing.T) {
	t.Parallel()
	open := appendHead(nil, frameOpen, 0, 1)
	data := append(appendHead(nil, frameData, 4, 1), "data"...)
	flood := slices.Clone(open)
	for range window/maxData + 1 {
		flood = append(appendHead(flood, frameData, maxData, 1), make([]byte, maxData)...)
	}
	for name, c := range map[string]struct {
		opens bool
		bytes []byte
	}{
		"a node opens a stream":     {true, open},
		"a stream nobody opened":    {true, data},
		"a credit of no stream":     {false, appendHead(nil, frameCredit, 1, 7)},
		"an end of no stream":       {false, appendHead(nil, frameClose, 0, 7)},
		"a stream opened twice":     {false, append(open, open...)},
		"a stream left out":         {false, appendHead(nil, frameOpen, 0, 2)},
		"more than was allowed":     {false, flood},
		"credit for nothing":        {false, appendHead(slices.Clone(open), frameCredit, 1, 1)},
		"no such kind":              {false, appendHead(nil, 9, 0, 0)},
		"kind zero":                 {false, make([]byte, headSize)},
		"data too long":             {false, appendHead(slices.Clone(open), frameData, maxData+1, 1)},
		"data of nothing":           {false, appendHead(slices.Clone(open), frameData, 0, 1)},
		"stream zero":               {false, appendHead(nil, frameOpen, 0, 0)},
		"a stream that leaves":      {false, appendHead(nil, frameLeave, 0, 1)},
		"an end with an amount":     {false, appendHead(slices.Clone(open), frameClose, 1, 1)},
		"HTTP where frames belong":  {true, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")},
		"TLS where frames belong":   {false, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
		"yamux where frames belong": {false, []byte("\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00")},
	} {
		near, far := net.Pipe()
		s := newSession(near, c.opens)
		go func() { _, _ = io.Copy(io.Discard, far) }()
		_, _ = far.Write(c.bytes)
		if err := s.wait(); !errors.Is(err, errFrame) {
			t.Errorf("%s: the link ended with %v", name, err)
		}
		_ = far.Close()
	}
}

func TestSession_framesOfClosedStreamsAreIgnored(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	s := newSession(near, false)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	_, _ = far.Write(appendHead(nil, frameOpen, 0, 1))
	first, err := s.accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	late := append(appendHead(nil, frameData, 4, 1), "late"...)
	late = appendHead(appendHead(late, frameCredit, 1, 1), frameClose, 0, 1)
	_, _ = far.Write(append(late, appendHead(nil, frameOpen, 0, 2)...))
	if _, err := s.accept(); err != nil {
		t.Errorf("accept = %v", err)
	}
	_ = far.Close()
	if err := s.wait(); errors.Is(err, errFrame) {
		t.Errorf("wait = %v", err)
	}
}

// FuzzSession feeds a session what a peer may send, in pieces: it must neither
// panic nor hold more than it says.
func FuzzSession(f *testing.F) {
	open := appendHead(nil, frameOpen, 0, 1)
	f.Add(true, uint16(3), open)
	f.Add(false, uint16(1), append(appendHead(open, frameData, 4, 1), "data"...))
	f.Add(false, uint16(100), appendHead(appendHead(open, frameClose, 0, 1), frameLeave, 0, 0))
	f.Add(false, uint16(0), appendHead(open, frameOpen, 0, 1))                                     // the same stream again
	f.Add(false, uint16(7), append(appendHead(open, frameData, 4, 2), "data"...))                  // of a stream that nobody opened
	f.Add(true, uint16(9), appendHead(appendHead(nil, frameCredit, window, 1), frameCredit, 1, 1)) // more than may be sent
	f.Add(true, uint16(9), append(appendHead(appendHead(nil, frameClose, 0, 1), frameData, 4, 1), "data"...))
	full := slices.Clone(open)
	for range window/maxData + 1 { // more than was granted
		full = append(appendHead(full, frameData, maxData, 1), make([]byte, maxData)...)
	}
	f.Add(false, uint16(0xffff), full)
	f.Fuzz(func(t *testing.T, opens bool, piece uint16, sent []byte) {
		s := &session{opens: opens, done: make(chan struct{}), streams: map[uint32]*Stream{}}
		s.arrived.L, s.queued.L = &s.mu, &s.mu
		if opens {
			if _, err := s.open(); err != nil {
				t.Fatal(err)
			}
		}
		var kept []byte
		for part := range slices.Chunk(sent, int(piece)%readSpace+1) {
			kept = append(kept, part...)
			used, err := s.take(kept)
			if used > len(kept) || err != nil && !errors.Is(err, errFrame) {
				t.Fatalf("%d of %d bytes used, %v", used, len(kept), err)
			}
			if kept = kept[used:]; err != nil {
				return // and so does the link
			}
			if len(kept) >= headSize+maxData {
				t.Fatalf("%d bytes are no frame yet", len(kept))
			}
		}
		if len(s.streams) > maxStreams || opens && s.newest != 1 {
			t.Fatalf("%d streams, the newest is %d", len(s.streams), s.newest)
		}
		for _, stream := range s.streams {
			if len(stream.in)+stream.may != window || stream.credit > window {
				t.Fatalf("stream %d holds %d, may get %d, may send %d", stream.id, len(stream.in), stream.may, stream.credit)
			}
		}
	})
}

func FuzzFrame(f *testing.F) {
	for k := frameOpen; k <= frameLeave+1; k++ {
		for _, amount := range []int{0, 1, maxData, maxData + 1, window, window + 1, 1<<24 - 1} {
			f.Add(appendHead(nil, k, amount, 0))
			f.Add(append(appendHead(nil, k, amount, 9), make([]byte, min(amount, maxData))...))
		}
	}
	f.Add(append(appendHead(nil, frameData, 3, 1<<32-1), "abc, of which a byte is the next one's"...))
	f.Add(appendHead(nil, frameData, 3, 9)[:headSize-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, size, err := parseFrame(b)
		if err != nil || size == 0 {
			return
		}
		again := append(appendHead(nil, got.kind, int(got.amount), got.stream), got.payload...)
		if !bytes.Equal(again, b[:size]) {
			t.Errorf("%x was read as %x", b[:size], again)
		}
	})
}
