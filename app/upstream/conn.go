package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Why there is no answer, or not all of it.
var (
	ErrSilent    = errors.New("the server was silent for too long")
	ErrMalformed = errors.New("the server's answer is not HTTP/1.1")

	errStale = errors.New("the connection was closed before the answer") // and had served before
)

// Request is a POST, ready to be sent.
type Request struct {
	Head     []byte        // the request line and the header fields that are always the same, each with its CRLF
	Fields   []Field       // further ones, valid as they are
	Body     [][]byte      // consecutive pieces
	Patience time.Duration // with a server that says nothing, until the answer begins
}

// Field is a header field.
type Field struct{ Name, Value string }

const (
	joined    = 16 << 10 // a body up to this goes into one write with the head
	firstHead = 4 << 10  // what most heads of answers fit into
	maxHead   = 64 << 10
)

// asker is a connection that can send a request and wait for its answer at once.
type asker interface {
	Ask(request, answer []byte) (sent, n int, err error)
}

// buffers keeps memory for heads that are written and read.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, firstHead); return &b }}

// conn is a connection with at most one exchange going on.
type conn struct {
	server *Server
	nc     Conn
	asker  asker     // the same, if it is one
	served bool      // it has carried a whole exchange
	last   time.Time // when something last came, or was last sent

	patience time.Duration // with a silent server
	until    time.Time     // the read deadline that is set
	gone     atomic.Bool   // the exchange is to end at once
	unsent   []byte        // a request that is sent when its answer is waited for
	cut      bool          // a request was not sent whole

	answer Answer
}

func newConn(s *Server, nc Conn) *conn {
	c := &conn{server: s, nc: nc}
	c.asker, _ = nc.(asker)
	return c
}

// Close closes the connection.
func (c *conn) Close() error { return c.nc.Close() } //nolint:wrapcheck // nobody looks at it

// exchange sends r and reads the head of the answer. After an error the
// connection is closed.
func (c *conn) exchange(ctx context.Context, r *Request) (*Answer, error) {
	stop := context.AfterFunc(ctx, c.abort)
	c.last, c.patience = time.Now(), r.Patience
	kept, _ := buffers.Get().(*[]byte) // the pool holds nothing else
	*kept = r.head((*kept)[:0])
	sent := c.send(r, kept)
	if len(*kept) > firstHead { // of which many may wait for an answer
		keep(kept)
		kept, _ = buffers.Get().(*[]byte)
	}
	// A server may answer, and close, before it has read a long request.
	some, err := c.readHead(kept)
	if err == nil {
		c.answer.stop = stop
		c.answer.whole = c.answer.whole && sent == nil && !c.cut
		return &c.answer, nil
	}
	stop()
	_ = c.Close()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx) //nolint:wrapcheck // as promised
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrSilent):
		return nil, err
	case c.served && !some:
		return nil, errStale
	case sent != nil:
		return nil, fmt.Errorf("send the request: %w", sent)
	}
	return nil, fmt.Errorf("read the answer: %w", err)
}

// abort makes everything on the connection fail at once.
func (c *conn) abort() {
	c.gone.Store(true)
	_ = c.nc.SetDeadline(time.Unix(1, 0))
}

// head appends all of a request that comes before its body.
func (r *Request) head(b []byte) []byte {
	b = append(b, r.Head...)
	for _, f := range r.Fields {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(r.size()), 10)
	return append(b, "\r\n\r\n"...)
}

// size is that of the body.
func (r *Request) size() int {
	size := 0
	for _, part := range r.Body {
		size += len(part)
	}
	return size
}

// send writes the request, whose head is in kept, in one write if it is small.
// A very small one may stay in kept, for read to send it.
func (c *conn) send(r *Request, kept *[]byte) error {
	b := *kept
	if r.size() <= joined {
		for _, part := range r.Body {
			b = append(b, part...)
		}
		*kept = b
		if c.asker != nil && c.served && len(b) <= firstHead {
			c.unsent = b
			return nil
		}
		_, err := c.nc.Write(b)
		return err //nolint:wrapcheck // by exchange
	}
	_ = c.nc.SetWriteDeadline(c.last.Add(r.Patience))
	if c.gone.Load() {
		c.abort() // which it did before the deadline was set
	}
	parts := append(net.Buffers{b}, r.Body...)
	to := io.Writer(c.nc)
	if tcp, ok := c.nc.(*tcpConn); ok {
		to = tcp.TCPConn // which takes all the pieces at once
	}
	_, err := parts.WriteTo(to)
	if err == nil {
		err = c.nc.SetWriteDeadline(time.Time{})
	}
	return err //nolint:wrapcheck // by exchange
}

// read waits for bytes, no longer than patience after the last ones.
func (c *conn) read(p []byte) (int, error) {
	for {
		// A deadline costs more than a look at the clock, so an earlier one stays
		// and is moved when it comes too soon.
		if want := c.last.Add(c.patience); c.until.IsZero() || c.until.After(want) || !c.until.After(c.last) {
			if err := c.nc.SetReadDeadline(want); err != nil {
				return 0, err //nolint:wrapcheck // by exchange
			}
			c.until = want
			if c.gone.Load() {
				c.abort()
			}
		}
		n, err := c.some(p)
		now := time.Now()
		switch {
		case n > 0:
			c.last = now
			return n, nil
		case err == nil:
			continue
		case c.gone.Load():
			return 0, context.Canceled
		case !isTimeout(err):
			return 0, err //nolint:wrapcheck // by exchange
		case now.Sub(c.last) >= c.patience:
			return 0, ErrSilent
		}
		c.until = time.Time{}
	}
}

// some sends what is still to be sent, and reads what comes.
func (c *conn) some(p []byte) (int, error) {
	if c.unsent == nil {
		return c.nc.Read(p) //nolint:wrapcheck // by exchange
	}
	sent, n, err := c.asker.Ask(c.unsent, p)
	if sent == 0 && isTimeout(err) { // the deadline was an old one
		return 0, err //nolint:wrapcheck // by exchange
	}
	c.cut = sent < len(c.unsent)
	c.unsent = nil
	return n, err //nolint:wrapcheck // by exchange
}

// isTimeout reports whether a deadline has passed. Not every connection says so
// with os.ErrDeadlineExceeded.
func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// readHead reads up to the body of the final answer into kept, and reports
// whether any byte came.
func (c *conn) readHead(kept *[]byte) (some bool, err error) {
	b := (*kept)[:0]
	for {
		n, err := c.read(b[len(b):min(cap(b), maxHead)])
		if err != nil {
			buffers.Put(kept)
			if len(b) > 0 && errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: it ends in its head", ErrMalformed)
			}
			return len(b) > 0, err
		}
		b = b[:len(b)+n]
		for {
			end := headEnd(b)
			if end == 0 {
				break
			}
			interim, err := c.answer.parse(b[:end])
			if err != nil {
				return true, err
			}
			if !interim {
				c.answer.begin(c, kept, b, end)
				return true, nil
			}
			b = b[:copy(b, b[end:])]
		}
		if len(b) >= maxHead {
			return true, fmt.Errorf("%w: its head has more than %d bytes", ErrMalformed, maxHead)
		}
		b = slices.Grow(b, 1)
	}
}
