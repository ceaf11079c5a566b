package tunnel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pair returns both ends of a link in memory.
func pair(t *testing.T) (plane, node *session) {
	t.Helper()
	a, b := net.Pipe()
	plane, node = newSession(a, true), newSession(b, false)
	t.Cleanup(func() {
		plane.end(errFinished)
		_, _ = plane.wait(), node.wait()
	})
	return plane, node
}

// connect opens a stream and takes it at the other end.
func connect(t *testing.T, plane, node *session) (near, far *Stream) {
	t.Helper()
	near, err := plane.open()
	if err != nil {
		t.Fatal(err)
	}
	if far, err = node.accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestStream_carriesBothWaysAndEnds(t *testing.T) {
	t.Parallel()
	plane, node := pair(t)
	for range 3 {
		near, far := connect(t, plane, node)
		question, answer := bytes.Repeat([]byte("a question "), 100_000), bytes.Repeat([]byte("an answer "), 100_000)
		go func() {
			_, _ = near.Write(question)
		}()
		got := make([]byte, len(question))
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, question) {
			t.Fatalf("the question came as %d bytes, %v", len(got), err)
		}
		go func() {
			_, _ = far.Write(answer)
			_ = far.Close()
		}()
		if got, err := io.ReadAll(near); err != nil || !bytes.Equal(got, answer) {
			t.Fatalf("the answer came as %d bytes, %v", len(got), err)
		}
		if _, err := near.Write([]byte("x")); err == nil || near.Usable() {
			t.Errorf("a stream that the peer closed is written to: %v", err)
		}
		_ = near.Close()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close = %v", err)
		}
	}
	for _, s := range []*session{plane, node} {
		s.mu.Lock()
		if len(s.streams) > 0 {
			t.Errorf("%d streams are left", len(s.streams))
		}
		s.mu.Unlock()
	}
}

func TestStream_closeReachesWhoeverServesIt(t *testing.T) {
	t.Parallel()
	plane, node := pair(t)
	near, far := connect(t, plane, node)
	left := make(chan struct{})
	far.OnLeave(func() { close(left) })
	_ = near.Close()
	<-left
	again := make(chan struct{})
	far.OnLeave(func() { close(again) })
	<-again

	near, far = connect(t, plane, node)
	defer near.Close()
	left = make(chan struct{})
	far.OnLeave(func() { close(left) })
	node.end(errors.New("power cut"))
	<-left
	if _, err := far.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "power cut") {
		t.Errorf("Read on a link that has ended = %v; it must not look like an end", err)
	}
	if _, err := io.ReadAll(near); err == nil {
		t.Error("the other end sees a clean end")
	}
}

// A reader that stalls holds a window, and others pass.
func TestStream_stalledReaderHoldsAWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, node := pair(t)
		near, far := connect(t, plane, node)
		body := bytes.Repeat([]byte("0123456789"), window/5) // two windows
		sent := make(chan error, 1)
		go func() {
			_, err := far.Write(body)
			sent <- err
		}()
		synctest.Wait()
		plane.mu.Lock()
		if len(near.in) != window || cap(near.in) > 2*window {
			t.Errorf("%d bytes are held in %d", len(near.in), cap(near.in))
		}
		plane.mu.Unlock()
		other, its := connect(t, plane, node)
		_, _ = its.Write([]byte("quick"))
		quick := make([]byte, 5)
		if _, err := io.ReadFull(other, quick); err != nil || string(quick) != "quick" {
			t.Errorf("beside it: %q, %v", quick, err)
		}
		_, _ = near.Read(make([]byte, window/2-1)) // not worth a frame yet
		synctest.Wait()
		if far.credit != 0 {
			t.Errorf("credit is %d after less than half a window", far.credit)
		}
		got, err := io.ReadFull(near, make([]byte, len(body)-window/2+1))
		if err != nil || <-sent != nil {
			t.Errorf("then %d bytes came, %v", got, err)
		}
		plane.mu.Lock()
		if cap(near.in) > keepIn {
			t.Errorf("%d bytes are kept for nothing", cap(near.in))
		}
		plane.mu.Unlock()
	})
}

func TestStream_deadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, node := pair(t)
		near, far := connect(t, plane, node)
		start := time.Now()
		_ = near.SetReadDeadline(start.Add(time.Minute))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Read = %v after %s", err, time.Since(start))
		}
		_ = near.SetWriteDeadline(start.Add(2 * time.Minute))
		if n, err := near.Write(make([]byte, 2*window)); n != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v; want a window", n, err)
		}
		ended := make(chan error, 2)
		_ = near.SetDeadline(time.Time{})
		go func() { _, err := near.Read(make([]byte, 1)); ended <- err }()
		go func() { _, err := near.Write(make([]byte, 1)); ended <- err }()
		synctest.Wait()
		_ = near.SetDeadline(time.Unix(1, 0)) // which is how a request is cancelled
		for range 2 {
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after a deadline in the past: %v", err)
			}
		}
		_ = near.SetDeadline(time.Time{})
		_, _ = far.Write([]byte("x"))
		if n, err := near.Read(make([]byte, 2)); n != 1 || err != nil {
			t.Errorf("Read without a deadline = %d, %v", n, err)
		}
		go func() { _, err := near.Read(make([]byte, 1)); ended <- err }()
		synctest.Wait()
		_ = near.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) || !errors.Is(near.SetDeadline(start), net.ErrClosed) {
			t.Errorf("Read while it is closed = %v", err)
		}
	})
}

// slow is a connection whose writes wait until they are let through.
type slow struct {
	net.Conn
	let chan struct{}

	mu     sync.Mutex
	writes [][]byte
}

func (s *slow) Write(p []byte) (int, error) {
	<-s.let
	s.mu.Lock()
	s.writes = append(s.writes, slices.Clone(p))
	s.mu.Unlock()
	return s.Conn.Write(p)
}

func TestSession_writesTogetherWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		wire := &slow{Conn: a, let: make(chan struct{}, 1)}
		plane, node := newSession(wire, true), newSession(b, false)
		const streams, each = 20, 5000
		var all []*Stream
		for range streams {
			s, err := plane.open()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		synctest.Wait() // the connection is held up by these
		for _, s := range all {
			go func() { _, _ = s.Write(make([]byte, each)) }()
		}
		synctest.Wait()
		plane.mu.Lock()
		if waiting := len(plane.out); waiting < maxOut || waiting > maxOut+maxData+headSize {
			t.Errorf("%d bytes wait for the connection", waiting)
		}
		plane.mu.Unlock()
		close(wire.let)
		synctest.Wait()
		if n := len(wire.writes); n > streams/2 {
			t.Errorf("%d writes for %d frames", n, 2*streams)
		}
		for range streams {
			s, err := node.accept()
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.ReadFull(s, make([]byte, each)); err != nil {
				t.Errorf("%d bytes came, %v", n, err)
			}
		}
		plane.end(errFinished)
		_, _ = plane.wait(), node.wait()
	})
}

func TestSession_closeSendsWhatWasWritten(t *testing.T) {
	t.Parallel()
	plane, node := pair(t)
	near, far := connect(t, plane, node)
	body := bytes.Repeat([]byte("whole "), 10_000)
	if _, err := far.Write(body); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	node.close()
	if got, err := io.ReadAll(near); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
	if err := node.wait(); !errors.Is(err, errFinished) {
		t.Errorf("wait = %v", err)
	}
	if _, err := node.accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept = %v", err)
	}
}

func TestSession_leave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, node := pair(t)
		near, far := connect(t, plane, node)
		node.mu.Lock()
		node.shut = true // as if the word of it were on its way still
		node.mu.Unlock()
		late, err := plane.open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := late.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a stream opened too late: %v, want its end", err)
		}
		node.mu.Lock()
		node.shut = false
		node.mu.Unlock()
		node.leave()
		synctest.Wait()
		if _, err := plane.open(); !errors.Is(err, errNoStream) || near.Usable() {
			t.Errorf("open on a link that leaves = %v", err)
		}
		_, _ = far.Write([]byte("x"))
		if _, err := near.Read(make([]byte, 1)); err != nil {
			t.Errorf("what runs on it: %v", err)
		}
	})
}

func TestSession_boundsStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, node := pair(t)
		for range maxStreams {
			if _, err := plane.open(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := plane.open(); !errors.Is(err, errNoStream) {
			t.Errorf("one more: %v", err)
		}
		synctest.Wait()
		plane.mu.Lock()
		plane.newest++
		more := newStream(plane, plane.newest)
		plane.put(frameOpen, 0, more.id)
		plane.mu.Unlock()
		if _, err := more.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("one that does not care: %v, want its end", err)
		}
		node.mu.Lock()
		defer node.mu.Unlock()
		if len(node.streams) != maxStreams {
			t.Errorf("the node has %d streams", len(node.streams))
		}
	})
}

func TestSession_silentPeer_F21(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, node := pair(t)
		near, far := connect(t, plane, node)
		time.Sleep(time.Hour) // which is nothing to two that are there
		if !near.Usable() || !far.Usable() {
			t.Error("two that live have parted")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		start := time.Now()
		s := newSession(a, true)
		near, err := s.open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, errSilent) || time.Since(start) > 8*time.Second {
			t.Errorf("Read = %v after %s", err, time.Since(start))
		}
		if err := s.wait(); !errors.Is(err, errSilent) {
			t.Errorf("wait = %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		start := time.Now()
		s := newSession(a, false)
		var ended sync.WaitGroup
		ended.Go(func() { // lives, but does not read
			for {
				if _, err := b.Write(appendHead(nil, frameAlive, 0, 0)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		if err := s.wait(); !errors.Is(err, errStuck) || time.Since(start) > 10*time.Second {
			t.Errorf("wait = %v after %s", err, time.Since(start))
		}
		_ = b.Close()
		ended.Wait()
	})
}

// A writer that always has something to write is not stuck.
func TestSession_busyIsNotStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, node := pair(t)
		near, far := connect(t, plane, node)
		go func() {
			p := make([]byte, 50_000)
			for {
				if _, err := far.Write(p); err != nil {
					return
				}
			}
		}()
		for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
			if _, err := near.Read(make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
