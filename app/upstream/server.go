package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	maxIdle  = 512              // connections kept for later
	idleTime = 90 * time.Second // for how long
)

// Conn is a connection to a server.
type Conn interface {
	net.Conn
	// Usable reports whether a connection on which nothing goes on can carry a
	// request; it is asked before every request but the first. Bytes that nobody
	// asked for make it unusable: they must not pass for the next answer.
	Usable() bool
}

// Server is one server and the connections to it that are open. It is safe for
// concurrent use. Make it with New.
type Server struct {
	dial func(context.Context) (Conn, error)

	mu     sync.Mutex
	idle   []*conn // the last used is the last
	closed bool
	reaper *time.Timer // runs while there are idle connections
}

// New returns a server that dial reaches; its errors are returned by Do as they
// are.
func New(dial func(context.Context) (Conn, error)) *Server { return &Server{dial: dial} }

// Close closes the connections that are idle now, and the others when their
// answers end.
func (s *Server) Close() {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// Do sends a request and returns the head of its answer, which the caller must
// close. A request whose connection turns out to have been closed by the server
// meanwhile is sent once more on a new one, if nothing of an answer has come.
//
// It fails with what dial returned, with ErrSilent when no answer begins within
// r.Patience, with ErrMalformed when what comes is no answer, with the cause of
// ctx when that ends first, and with another error when the server is gone.
func (s *Server) Do(ctx context.Context, r *Request) (*Answer, error) {
	if c := s.take(); c != nil {
		a, err := c.exchange(ctx, r)
		if !errors.Is(err, errStale) {
			return a, err
		}
	}
	nc, err := s.dial(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // as promised
	}
	return newConn(s, nc).exchange(ctx, r)
}

// take returns the connection that was used last and still can be, or nil.
func (s *Server) take() *conn {
	for {
		s.mu.Lock()
		n := len(s.idle)
		if n == 0 {
			s.mu.Unlock()
			return nil
		}
		c := s.idle[n-1]
		s.idle[n-1] = nil
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		if c.nc.Usable() {
			return c
		}
		_ = c.Close()
	}
}

// put keeps a connection for later.
func (s *Server) put(c *conn) {
	s.mu.Lock()
	if s.closed || len(s.idle) >= maxIdle {
		s.mu.Unlock()
		_ = c.Close()
		return
	}
	s.idle = append(s.idle, c)
	if s.reaper == nil {
		s.reaper = time.AfterFunc(idleTime, s.reap)
	}
	s.mu.Unlock()
}

// reap closes the connections that were idle for too long.
func (s *Server) reap() {
	s.mu.Lock()
	now, n := time.Now(), 0
	for n < len(s.idle) && now.Sub(s.idle[n].last) >= idleTime {
		n++
	}
	old := append([]*conn(nil), s.idle[:n]...)
	s.idle = append(s.idle[:0], s.idle[n:]...)
	clear(s.idle[len(s.idle):cap(s.idle)])
	if s.reaper = nil; len(s.idle) > 0 {
		s.reaper = time.AfterFunc(max(time.Second, idleTime-now.Sub(s.idle[0].last)), s.reap)
	}
	s.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}
