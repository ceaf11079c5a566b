package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/socket"
)

const (
	readSpace = 4 << 10
	maxHead   = 16 << 10
	// watchAfter is how long an answer may take before its client is watched.
	watchAfter = 50 * time.Millisecond
	// lingerTime and lingerBytes bound what is taken of a request that is refused
	// before it was read: a connection closed under a client that still writes
	// would take the answer away from it.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
	// maxUnsent is what the kernel keeps for a client that takes nothing. All of
	// the machine's connections share its memory for that.
	maxUnsent = 128 << 10
)

// conn is a connection, from its first byte to its end.
type conn struct {
	server *Server
	nc     net.Conn
	tcp    *socket.Conn // the same; nil if it is none
	remote string

	ctx  context.Context //nolint:containedctx // that of every request of the connection
	gone context.CancelFunc

	mu      sync.Mutex
	idle    bool // no byte of a request has come
	leaving bool // no further request

	asked bool // a first request was waited for

	in  []byte // read and not used yet, in buf
	buf []byte

	head  head
	url   url.URL
	plain http.Request // with the context, and nothing else
	req   http.Request
	body  body
	res   response

	until      time.Time // the read deadline that is set
	writeUntil time.Time // the write deadline that is set

	watch    *time.Timer
	watching bool
	stopped  bool          // guarded by mu
	seen     chan struct{} // what the watch sends when it ends
}

// leaver is a connection that tells by itself when its client has left, and
// needs no watch.
type leaver interface{ OnLeave(f func()) }

func newConn(ctx context.Context, s *Server, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, remote: nc.RemoteAddr().String(), idle: true, seen: make(chan struct{}, 1)}
	c.ctx, c.gone = context.WithCancel(context.WithoutCancel(ctx))
	c.plain = *(&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(c.ctx)
	c.head.header, c.res.header = make(http.Header, 16), make(http.Header, 8)
	c.body.c, c.res.c = c, c
	if l, ok := nc.(leaver); ok {
		l.OnLeave(c.gone)
	}
	if c.tcp, _ = nc.(*socket.Conn); c.tcp != nil {
		_ = c.tcp.LimitUnsent(maxUnsent)
	}
	return c
}

// leave ends a connection that waits for a request, and lets another one end
// with its answer.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving = true; c.idle {
		_ = c.nc.Close()
	}
}

// setIdle reports whether the connection may go on.
func (c *conn) setIdle(idle bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = idle
	return !c.leaving || !idle
}

func (c *conn) serve() {
	defer c.server.remove(c)
	defer c.gone()
	for c.one() {
		if len(c.in) == 0 && !c.setIdle(true) {
			_ = c.nc.Close()
			return
		}
	}
}

// one serves a request and reports whether another one may follow. When it
// reports false the connection is closed or handed over.
func (c *conn) one() bool {
	n, ok := c.await()
	if !ok {
		return false
	}
	c.in = c.in[n:]
	again := false
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // the value itself, as net/http has it
				c.server.cfg.Log.Error("handler panicked", "panic", p, "stack", string(debug.Stack()))
			}
		}()
		again = c.answer()
	}()
	c.stopWatch()
	if !again || c.ctx.Err() != nil {
		c.end()
		return false
	}
	return true
}

// await reads the head of the next request into c.head and returns its length.
// It reports false when there is none for us.
func (c *conn) await() (int, bool) {
	cfg := &c.server.cfg
	if c.buf == nil {
		c.buf = make([]byte, readSpace)
	}
	if len(c.in) == 0 {
		c.in = c.buf[:0]
	}
	limit := time.Now().Add(cfg.IdleTimeout)
	if len(c.in) > 0 || !c.asked {
		limit = time.Now().Add(cfg.HeaderTimeout)
	}
	c.asked = true
	skipped := false
	for {
		if rest, empty := bytes.CutPrefix(c.in, []byte("\r\n")); empty && !skipped {
			c.in, skipped = rest, true // as RFC 9112 §2.2 wants it, before the line of the request
		}
		if len(c.in) > 0 && (skipped || string(c.in) != "\r") {
			v, n := c.head.parse(c.in, cfg.Mine)
			if v == refused && cfg.Refuse == nil {
				v = theirs
			}
			switch v {
			case ours, refused:
				c.setIdle(false)
				return n, true
			case theirs:
				c.setIdle(false)
				_ = c.nc.SetReadDeadline(time.Time{})
				c.server.rest.give(c.nc, c.in)
				return 0, false
			case incomplete:
			}
		}
		begun := len(c.in) > 0
		if err := c.fill(limit); err != nil {
			_ = c.nc.Close()
			return 0, false
		}
		if !begun {
			c.setIdle(false)
			limit = time.Now().Add(cfg.HeaderTimeout)
		}
	}
}

// fill reads more into c.in, until a time.
func (c *conn) fill(limit time.Time) error {
	used := cap(c.buf) - cap(c.in)
	if free := cap(c.in) - len(c.in); free == 0 {
		if used == 0 { // a great head, at most maxHead
			c.buf = append(make([]byte, 0, 2*len(c.buf)), c.buf...)
			c.buf = c.buf[:cap(c.buf)]
		}
		c.in = c.buf[:copy(c.buf, c.in)]
	}
	n, err := c.read(c.in[len(c.in):cap(c.in)], limit)
	c.in = c.in[:len(c.in)+n]
	return err
}

// read reads from the connection, until a time, if that is not zero. A deadline
// is dear: one that is set stays unless it is too late, and is moved when it
// comes too soon.
func (c *conn) read(p []byte, limit time.Time) (int, error) {
	late := !limit.IsZero() && (c.until.IsZero() || c.until.After(limit))
	for {
		if late {
			if err := c.nc.SetReadDeadline(limit); err != nil {
				return 0, err //nolint:wrapcheck // nobody reads it
			}
			c.until = limit
		}
		n, err := c.nc.Read(p)
		if n > 0 || err == nil {
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !limit.IsZero() && time.Until(limit) <= 0 {
			return 0, err //nolint:wrapcheck // likewise
		}
		late = true
	}
}

// answer calls the handler and sends what is left of its answer. It reports
// whether the connection is good for another request.
func (c *conn) answer() bool {
	c.url = url.URL{Path: c.head.path}
	c.req = c.plain
	r := &c.req
	r.Method, r.URL, r.RequestURI, r.Header, r.Host = c.head.method, &c.url, c.head.path, c.head.header, c.head.host
	r.ContentLength, r.RemoteAddr, r.Body = max(0, c.head.length), c.remote, &c.body
	c.body.begin(r.ContentLength)
	c.res.begin()
	switch {
	case c.head.refusal != 0:
		r.Body, c.body.left = http.NoBody, math.MaxInt64 // how much is still to come is not known
		c.server.cfg.Refuse(&c.res, r, c.head.refusal)
	case r.ContentLength == 0:
		r.Body = http.NoBody
		c.startWatch()
		fallthrough
	default:
		c.server.cfg.Handler.ServeHTTP(&c.res, r)
	}
	last := c.isLast()
	if c.body.left > 0 && !c.body.drain() {
		last = true
	}
	return c.res.finish(last) && !last
}

// isLast reports whether no request may follow this one.
func (c *conn) isLast() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving || c.head.close || c.res.closes()
}

// end closes the connection, after a while if its client still writes.
func (c *conn) end() {
	defer c.nc.Close()
	if c.tcp != nil && errors.Is(c.res.err, os.ErrDeadlineExceeded) {
		_ = c.tcp.SetLinger(0) // what it does not take need not be kept for it
	}
	if c.body.left == 0 || c.ctx.Err() != nil {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.nc, lingerBytes)
}

// startWatch looks after the client once the answer takes longer: the request
// was read, so that the next thing to come is the client's leaving.
func (c *conn) startWatch() {
	if c.tcp == nil || c.watching {
		return
	}
	c.watching, c.stopped = true, false
	if c.watch == nil {
		c.watch = time.AfterFunc(watchAfter, c.watchClient)
		return
	}
	c.watch.Reset(watchAfter)
}

// watchClient waits until the client leaves, or sends more, which ends the
// watch, or until stopWatch interrupts it.
func (c *conn) watchClient() {
	defer func() { c.seen <- struct{}{} }()
	if len(c.in) > 0 {
		return // the next request came with this one
	}
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		return
	}
	_ = c.nc.SetReadDeadline(time.Time{})
	c.mu.Unlock()
	c.in, c.buf, c.until = nil, nil, time.Time{} // nobody reads before stopWatch has returned
	if err := c.tcp.Await(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.gone()
	}
}

// stopWatch returns when nobody watches.
func (c *conn) stopWatch() {
	if !c.watching {
		return
	}
	c.watching = false
	if c.watch.Stop() {
		return // it never began
	}
	c.mu.Lock()
	c.stopped = true
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	c.mu.Unlock()
	<-c.seen
	_ = c.nc.SetReadDeadline(time.Time{})
	c.until = time.Time{}
}
