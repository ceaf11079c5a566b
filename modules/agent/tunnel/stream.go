package tunnel

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// keepIn is how much memory an idle stream keeps for what comes.
const keepIn = 4 << 10

// Stream is one connection through a tunnel. Writing queues and does not wait
// for the network, unless there is no room: then as long as the reader at the
// other end has 256 KiB before it, or the link as much as it takes. What was
// queued when the link ends may be lost, and reading tells.
type Stream struct {
	session *session
	id      uint32
	running *atomic.Int64 // counts it until it is closed; may be nil

	// All of this is guarded by the session's mu.
	in      []byte // come and not read, from read on
	read    int
	may     int // bytes that the peer may send
	taken   int // bytes read that it was not told of
	credit  int // bytes that may be sent
	closed  bool
	ended   error  // the peer has closed, or the link has ended
	onLeave func() // called when the peer closes or the link ends, not on Close

	readable, writable sync.Cond
	readBy, writeBy    deadline
}

// newStream makes a stream one of the session's; mu is held.
func newStream(s *session, id uint32) *Stream {
	t := &Stream{session: s, id: id, may: window, credit: window}
	t.readable.L, t.writable.L = &s.mu, &s.mu
	s.streams[id] = t
	return t
}

// Read reads what has come. It fails with io.EOF when the peer has closed the
// stream, and with another error when the link has ended: nothing that was cut
// off looks like an end. It gives nothing after Close.
func (t *Stream) Read(p []byte) (int, error) {
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case t.closed:
			return 0, net.ErrClosed
		case t.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(t.in) > t.read:
			n := copy(p, t.in[t.read:])
			t.consume(n)
			return n, nil
		case t.ended != nil:
			return 0, t.ended
		}
		t.readable.Wait()
	}
}

// consume takes n bytes of what has come, and lets the peer send as many when
// that is worth a frame.
func (t *Stream) consume(n int) {
	if t.read += n; t.read == len(t.in) {
		if t.in, t.read = t.in[:0], 0; cap(t.in) > keepIn {
			t.in = nil
		}
	}
	if t.taken += n; t.taken >= window/2 && t.ended == nil {
		t.session.put(frameCredit, t.taken, t.id)
		t.may += t.taken
		t.taken = 0
	}
}

// Write queues p, a frame at a time, as there is room.
func (t *Stream) Write(p []byte) (int, error) {
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(p) {
		switch {
		case t.closed:
			return n, net.ErrClosed
		case t.ended != nil || s.finish:
			return n, syscall.EPIPE
		case t.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case t.credit == 0:
			t.writable.Wait()
		case len(s.out) >= maxOut:
			s.blocked = append(s.blocked, t)
			t.writable.Wait()
		default:
			k := min(len(p)-n, t.credit, maxData)
			t.credit -= k
			s.put(frameData, k, t.id)
			s.out = append(s.out, p[n:n+k]...)
			n += k
		}
	}
	return n, nil
}

// receive takes what the peer sent; mu is held.
func (t *Stream) receive(p []byte) error {
	if t.may -= len(p); t.may < 0 {
		return fmt.Errorf("%w: more on stream %d than it may send", errFrame, t.id)
	}
	if t.read > 0 && len(t.in)+len(p) > cap(t.in) {
		t.in, t.read = t.in[:copy(t.in, t.in[t.read:])], 0
	}
	t.in = append(t.in, p...)
	t.readable.Broadcast()
	return nil
}

// grant lets this end send so much more; mu is held.
func (t *Stream) grant(n int) error {
	if t.credit += n; t.credit > window {
		return fmt.Errorf("%w: stream %d is allowed more than a window", errFrame, t.id)
	}
	t.writable.Broadcast()
	return nil
}

// over ends the stream from the other side, and returns whom to tell; mu is
// held.
func (t *Stream) over(why error) (told func()) {
	t.ended = why
	t.readable.Broadcast()
	t.writable.Broadcast()
	return t.onLeave
}

// Close closes the stream, which ends what the peer does for it. What was
// written before is sent.
func (t *Stream) Close() error {
	s := t.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	if t.running != nil {
		t.running.Add(-1)
	}
	if t.ended == nil {
		delete(s.streams, t.id)
		s.put(frameClose, 0, t.id)
	}
	t.in, t.read = nil, 0
	t.readBy.stop()
	t.writeBy.stop()
	t.readable.Broadcast()
	t.writable.Broadcast()
	return nil
}

// Usable reports whether a stream on which nothing goes on can carry a request:
// its link still takes some, and nothing came that nobody asked for.
func (t *Stream) Usable() bool {
	t.session.mu.Lock()
	defer t.session.mu.Unlock()
	return !t.closed && t.ended == nil && len(t.in) == 0 && !t.session.leaving.Load()
}

// OnLeave has f called when the peer closes the stream or the link ends; at once
// if that has happened.
func (t *Stream) OnLeave(f func()) {
	t.session.mu.Lock()
	gone := t.ended != nil
	t.onLeave = f
	t.session.mu.Unlock()
	if gone {
		f()
	}
}

// LocalAddr implements net.Conn with the link's address.
func (t *Stream) LocalAddr() net.Addr { return t.session.conn.LocalAddr() }

// RemoteAddr implements net.Conn with the link's address.
func (t *Stream) RemoteAddr() net.Addr { return t.session.conn.RemoteAddr() }

// SetDeadline implements net.Conn.
func (t *Stream) SetDeadline(at time.Time) error {
	_ = t.SetReadDeadline(at)
	return t.SetWriteDeadline(at)
}

// SetReadDeadline implements net.Conn.
func (t *Stream) SetReadDeadline(at time.Time) error {
	return t.setDeadline(&t.readBy, &t.readable, at)
}

// SetWriteDeadline implements net.Conn.
func (t *Stream) SetWriteDeadline(at time.Time) error {
	return t.setDeadline(&t.writeBy, &t.writable, at)
}

func (t *Stream) setDeadline(d *deadline, waiting *sync.Cond, at time.Time) error {
	t.session.mu.Lock()
	defer t.session.mu.Unlock()
	if t.closed {
		return net.ErrClosed
	}
	d.set(at, waiting)
	return nil
}

// deadline is a moment after which waiting has no use.
type deadline struct {
	at    time.Time // zero for none
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && time.Until(d.at) <= 0 }

// set wakes who waits at that moment; the condition's lock is held.
func (d *deadline) set(at time.Time, waiting *sync.Cond) {
	d.at = at
	left := time.Until(at)
	switch {
	case at.IsZero():
		d.stop()
	case left <= 0:
		waiting.Broadcast()
	case d.timer == nil:
		d.timer = time.AfterFunc(left, func() {
			waiting.L.Lock() // so that nobody is between looking at the clock and waiting
			defer waiting.L.Unlock()
			waiting.Broadcast()
		})
	default:
		d.timer.Reset(left)
	}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
