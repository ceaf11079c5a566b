package tunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readSpace = 16 << 10 // more than a frame
	// maxOut bounds what waits to be written, but for frames without data.
	maxOut = 64 << 10
	// keepOut is how much memory for it is kept while nothing is written.
	keepOut = 16 << 10
	// maxStreams bounds the streams of one link.
	maxStreams = 4096
)

// An end that has nothing to send says so every beatEvery. A peer of which
// nothing came for maxBeats of them is gone: after six to eight seconds.
const (
	beatEvery = 2 * time.Second
	maxBeats  = 3
)

// Why a session ends.
var (
	errSilent   = errors.New("the peer is silent")
	errStuck    = errors.New("the peer takes nothing")
	errFinished = errors.New("this end has closed it")
	errDropped  = errors.New("the node was dropped")
	errNoStream = errors.New("link takes no request")
)

// session carries streams over one connection. One end opens them, the other
// one takes them. What streams write is gathered and written by one goroutine,
// so that frames of many streams share a TLS record, a system call and a wake-up
// of the other end; another goroutine reads and never waits for a stream.
type session struct {
	conn    net.Conn
	opens   bool
	leaving atomic.Bool   // the peer takes no further streams, or the session has ended
	done    chan struct{} // closed when the session ends
	running sync.WaitGroup

	mu      sync.Mutex
	err     error // why it ended
	streams map[uint32]*Stream
	newest  uint32    // the latest stream
	fresh   []*Stream // that the peer opened and nobody took yet
	arrived sync.Cond // fresh has some, or will have none
	shut    bool      // no further streams are taken
	finish  bool      // the session ends when everything is written

	out     []byte    // frames to be written
	spare   []byte    // memory for the next ones; nil while writing
	queued  sync.Cond // out has some, or the writer is to end
	blocked []*Stream // that wait until out is shorter
	writing bool      // the writer writes

	// Since the last beat:
	heard   bool // something came
	wrote   bool // something was written
	longest int  // of what was written at once
}

func newSession(conn net.Conn, opens bool) *session {
	s := &session{conn: conn, opens: opens, done: make(chan struct{}), streams: make(map[uint32]*Stream)}
	s.arrived.L, s.queued.L = &s.mu, &s.mu
	for _, part := range []func() error{s.read, s.write, s.beat} {
		s.running.Go(func() { s.end(part()) })
	}
	return s
}

// wait returns when the session has ended, and why.
func (s *session) wait() error {
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// end ends the session and every stream in it at once; what was written and not
// sent is lost. Only the first reason counts.
func (s *session) end(why error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = why
	s.leaving.Store(true)
	close(s.done)
	told := make([]func(), 0, len(s.streams))
	lost := fmt.Errorf("link ended: %w", why)
	for _, t := range s.streams {
		told = append(told, t.over(lost))
	}
	clear(s.streams)
	s.arrived.Broadcast()
	s.queued.Broadcast()
	s.mu.Unlock()
	_ = s.conn.Close()
	tell(told)
}

// close ends the session once everything that was written is sent. Nothing more
// can be written.
func (s *session) close() {
	s.mu.Lock()
	s.finish = true
	s.queued.Broadcast()
	for _, t := range s.streams {
		t.writable.Broadcast()
	}
	s.mu.Unlock()
}

// tell calls those of the functions that there are.
func tell(all []func()) {
	for _, f := range all {
		if f != nil {
			f()
		}
	}
}

// open opens a stream. It fails with errNoStream.
func (s *session) open() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.leaving.Load() || len(s.streams) >= maxStreams || s.newest+1 == 0 {
		return nil, errNoStream
	}
	s.newest++
	t := newStream(s, s.newest)
	s.put(frameOpen, 0, t.id)
	return t, nil
}

// accept returns the next stream that the peer opened; net.ErrClosed after leave
// and when the session has ended.
func (s *session) accept() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.fresh) == 0 && !s.shut && s.err == nil {
		s.arrived.Wait()
	}
	if len(s.fresh) == 0 || s.err != nil {
		return nil, net.ErrClosed
	}
	t := s.fresh[0]
	s.fresh = slices.Delete(s.fresh, 0, 1)
	return t, nil
}

// leave takes no further streams and tells the peer.
func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shut {
		s.shut = true
		s.put(frameLeave, 0, 0)
		s.arrived.Broadcast()
	}
}

// put queues a frame; mu is held.
func (s *session) put(k kind, amount int, stream uint32) {
	s.out = appendHead(s.out, k, amount, stream)
	s.queued.Signal()
}

// read takes what comes until the connection ends.
func (s *session) read() error {
	buf := make([]byte, readSpace)
	kept := 0
	for {
		n, err := s.conn.Read(buf[kept:])
		if n > 0 {
			n += kept
			used, bad := s.take(buf[:n])
			if bad != nil {
				return bad
			}
			kept = copy(buf, buf[used:n])
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

// take handles the whole frames in b and returns their length.
func (s *session) take(b []byte) (used int, err error) {
	var told []func()
	s.mu.Lock()
	s.heard = true
	for {
		f, size, bad := parseFrame(b[used:])
		if err = bad; size == 0 {
			break
		}
		used += size
		if err = s.handle(f, &told); err != nil {
			break
		}
	}
	s.mu.Unlock()
	tell(told)
	return used, err
}

// handle does what a frame says; mu is held.
func (s *session) handle(f frame, told *[]func()) error {
	switch f.kind {
	case frameAlive:
		return nil
	case frameLeave:
		s.leaving.Store(true)
		return nil
	case frameOpen:
		return s.admit(f.stream)
	case frameData, frameCredit, frameClose:
	}
	t := s.streams[f.stream]
	switch {
	case t == nil && f.stream > s.newest:
		return fmt.Errorf("%w: stream %d was not opened", errFrame, f.stream)
	case t == nil:
		return nil // it was closed here while the frame was on its way
	case f.kind == frameData:
		return t.receive(f.payload)
	case f.kind == frameCredit:
		return t.grant(int(f.amount))
	}
	delete(s.streams, t.id)
	*told = append(*told, t.over(io.EOF))
	return nil
}

// admit takes a stream that the peer opens, or closes it at once; mu is held.
func (s *session) admit(id uint32) error {
	if s.opens || id != s.newest+1 {
		return fmt.Errorf("%w: stream %d opened", errFrame, id)
	}
	s.newest = id
	if s.shut || len(s.streams) >= maxStreams {
		s.put(frameClose, 0, id)
		return nil
	}
	s.fresh = append(s.fresh, newStream(s, id))
	s.arrived.Signal()
	return nil
}

// write writes what is queued until the session ends or is closed.
func (s *session) write() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.out) == 0 && !s.finish && s.err == nil {
			s.queued.Wait()
		}
		if len(s.out) == 0 || s.err != nil {
			return errFinished
		}
		s.writing = true
		s.mu.Unlock()
		runtime.Gosched() // whoever can run now may have something to say, too
		s.mu.Lock()
		batch := s.out
		s.out, s.spare = s.spare[:0], nil
		for _, t := range s.blocked {
			t.writable.Broadcast()
		}
		clear(s.blocked)
		s.blocked = s.blocked[:0]
		s.mu.Unlock()
		_, err := s.conn.Write(batch)
		s.mu.Lock()
		s.spare, s.writing, s.wrote, s.longest = batch, false, true, max(s.longest, len(batch))
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
}

// beat shows the peer that this end is there, and looks after the peer.
func (s *session) beat() error {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for silent, stuck := 0, 0; ; {
		select {
		case <-s.done:
			return nil
		case <-ticker.C:
		}
		s.mu.Lock()
		if silent++; s.heard {
			silent = 0
		}
		if stuck++; !s.writing || s.wrote {
			stuck = 0
		}
		if len(s.out) == 0 && !s.writing {
			if s.longest < keepOut {
				s.out, s.spare = fit(s.out), fit(s.spare)
			}
			s.put(frameAlive, 0, 0)
		}
		s.heard, s.wrote, s.longest = false, false, 0
		s.mu.Unlock()
		switch {
		case silent >= maxBeats:
			return errSilent
		case stuck >= maxBeats:
			return errStuck
		}
	}
}

// fit gives memory up that is more than what is kept.
func fit(b []byte) []byte {
	if cap(b) > keepOut {
		return nil
	}
	return b
}
