package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// errNoStream says that a link could not take a request at all.
var errNoStream = errors.New("link takes no request")

// link is the control plane's end of one connection.
type link struct {
	session *yamux.Session
	http    *http.Transport
	running atomic.Int64 // requests whose answer has not ended, and streams that Open gave out
	leaving atomic.Bool  // the agent asked for no more requests, or the link is ending
	dropped atomic.Bool
}

func newLink(conn net.Conn) (*link, error) {
	session, err := yamux.Client(&joined{Conn: conn}, yamuxConfig())
	if err != nil {
		return nil, fmt.Errorf("open link: %w", err)
	}
	// Agents open no streams: one that tries gets a reset, not our memory.
	if err := session.GoAway(); err != nil {
		_ = session.Close()
		return nil, fmt.Errorf("open link: %w", err)
	}
	l := &link{session: session}
	l.http = &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return l.open() },
		DisableCompression:     true, // bytes go through as they are
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        time.Minute, // shorter than the agent's: it never closes one that we use
		MaxResponseHeaderBytes: 256 << 10,
	}
	return l, nil
}

func (l *link) open() (net.Conn, error) {
	conn, err := l.session.Open()
	if err != nil {
		l.leaving.Store(true)
		return nil, fmt.Errorf("%w: %w", errNoStream, err)
	}
	return &Stream{Conn: conn, link: l}, nil
}

// Stream is one connection through a tunnel. It gives nothing after Close: yamux
// goes on giving what comes until the other end closes too, and a cancelled
// request could then look like a whole one.
type Stream struct {
	net.Conn

	link    *link
	counted bool // as running on its link, for as long as it is open
	closed  atomic.Bool
}

// Read reads from the stream until it is closed, by either end.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	return n, err
}

// Close closes the stream, which ends what the agent does for it.
func (s *Stream) Close() error {
	if !s.closed.Swap(true) && s.counted {
		s.link.running.Add(-1)
	}
	return s.Conn.Close()
}

// Usable reports whether the stream's link still takes requests.
func (s *Stream) Usable() bool {
	return !s.closed.Load() && !s.link.leaving.Load() && !s.link.session.IsClosed()
}

// wait returns when the link has ended: nil after drop, else why.
func (l *link) wait() error {
	_, err := l.session.AcceptStream() // the session's end is what comes
	if err == nil {
		err = errors.New("the agent opened a stream")
	}
	l.leaving.Store(true)
	l.close()
	if l.dropped.Load() {
		return nil
	}
	return fmt.Errorf("link ended: %w", err)
}

func (l *link) drop() {
	l.dropped.Store(true)
	l.close()
}

func (l *link) close() {
	l.leaving.Store(true)
	_ = l.session.Close()
	l.http.CloseIdleConnections()
}

// roundTrip sends r and counts it as running until its answer ends.
func (l *link) roundTrip(r *http.Request) (*http.Response, error) {
	l.running.Add(1)
	resp, err := l.http.RoundTrip(r)
	if err != nil {
		l.running.Add(-1)
		return nil, err
	}
	resp.Body = &answer{resp.Body, sync.OnceFunc(func() { l.running.Add(-1) })}
	return resp, nil
}

// answer is a body that says when it has ended.
type answer struct {
	io.ReadCloser
	done func()
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil {
		a.done()
	}
	return n, err
}

func (a *answer) Close() error {
	a.done()
	return a.ReadCloser.Close()
}
