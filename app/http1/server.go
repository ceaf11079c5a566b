package http1

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/socket"
)

// Config is what a Server needs.
type Config struct {
	Handler http.Handler
	// Mine reports whether a path is the handler's.
	Mine func(path string) bool
	// Refuse answers a request for a path of the handler's that does not get to
	// it: 431 for a head that is too long, of which only method and path are known
	// then, and 417 for an expectation that nobody knows. nil leaves them to net/http.
	Refuse func(w http.ResponseWriter, r *http.Request, status int)
	Log    *slog.Logger

	HeaderTimeout time.Duration // for the head of a request, from its first byte; of the first one, from the beginning
	IdleTimeout   time.Duration // between two requests
}

// Server is a server for some of the requests of a listener. Make it with New.
type Server struct {
	cfg  Config
	rest *rest
	date atomic.Pointer[date]

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]struct{}
	ending   bool
	ended    sync.WaitGroup // connections
}

// New returns a server that does not serve yet.
func New(c Config) *Server {
	return &Server{cfg: c, conns: map[*conn]struct{}{}, rest: &rest{conns: make(chan net.Conn), closed: make(chan struct{})}}
}

// Rest is the listener of the connections that are for net/http. It ends with
// the server.
func (s *Server) Rest() net.Listener { return s.rest }

// Serve takes connections from ln until it is closed, and returns
// http.ErrServerClosed after Shutdown and Close. The contexts of requests have
// the values of ctx; its end is of no account.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.mu.Lock()
	s.listener, s.rest.addr = ln, ln.Addr()
	ending := s.ending
	s.mu.Unlock()
	if ending {
		_ = ln.Close()
		return http.ErrServerClosed
	}
	ln = socket.Listener{Listener: ln}
	for pause := time.Duration(0); ; {
		nc, err := ln.Accept()
		if err != nil {
			s.mu.Lock()
			ending = s.ending
			s.mu.Unlock()
			if ending {
				return http.ErrServerClosed
			}
			if errors.Is(err, net.ErrClosed) {
				return err //nolint:wrapcheck // says enough
			}
			// Too many open files pass, as with net/http.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.cfg.Log.Error("connection not accepted", "err", err, "pause", pause)
			<-time.After(pause)
			continue
		}
		pause = 0
		if c := s.add(ctx, nc); c != nil {
			go c.serve()
		}
	}
}

// add makes a connection one of the server's; nil while it ends.
func (s *Server) add(ctx context.Context, nc net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		_ = nc.Close()
		return nil
	}
	c := newConn(ctx, s, nc)
	s.conns[c] = struct{}{}
	s.ended.Add(1)
	return c
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.ended.Done()
}

// Shutdown takes no more connections, closes those that wait for a request, and
// returns when the answers that are being given have ended, or with the cause of
// ctx. Rest is closed as well; its server is shut down by whoever runs it.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end(func(c *conn) { c.leave() })
	done := make(chan struct{})
	go func() { s.ended.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // as promised
	}
}

// Close ends every connection and the context of every request at once, and
// returns when their handlers have.
func (s *Server) Close() error {
	s.end(func(c *conn) { c.gone(); _ = c.nc.Close() })
	s.ended.Wait()
	return nil
}

func (s *Server) end(each func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending = true; s.listener != nil {
		_ = s.listener.Close()
	}
	_ = s.rest.Close()
	for c := range s.conns {
		each(c)
	}
}

// date is the value of the Date field for one second.
type date struct {
	second int64
	text   string
}

func (s *Server) now() string {
	now := time.Now()
	if d := s.date.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
	s.date.Store(d)
	return d.text
}

// rest is a listener of connections that were begun elsewhere.
type rest struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

func (r *rest) Accept() (net.Conn, error) {
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.closed:
		return nil, http.ErrServerClosed // which is no failure to whoever serves
	}
}

func (r *rest) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

func (r *rest) Addr() net.Addr { return r.addr }

// give hands a connection over, with the bytes that were read of it.
func (r *rest) give(nc net.Conn, read []byte) {
	select {
	case r.conns <- &begun{Conn: nc, read: append([]byte(nil), read...)}:
	case <-r.closed:
		_ = nc.Close()
	}
}

// begun is a connection of which something was read already.
type begun struct {
	net.Conn

	read []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) == 0 {
		return b.Conn.Read(p) //nolint:wrapcheck // the connection's own
	}
	n := copy(p, b.read)
	b.read = b.read[n:]
	return n, nil
}

// Write sees to it that what a client does not take in time is not kept for it
// once net/http closes the connection, as it does then.
func (b *begun) Write(p []byte) (int, error) {
	n, err := b.Conn.Write(p)
	if tcp, ok := b.Conn.(*socket.Conn); ok && errors.Is(err, os.ErrDeadlineExceeded) {
		_ = tcp.SetLinger(0)
	}
	return n, err //nolint:wrapcheck // the connection's own
}

// CloseWrite lets net/http end an answer before it closes under a client that
// still writes, which would take the answer away from it.
func (b *begun) CloseWrite() error {
	half, ok := b.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite() //nolint:wrapcheck // the connection's own
}
