package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// short is what the kernel moves in a few microseconds, during which the
// scheduler can do nothing with our processor. More is left to package net.
const short = 64 << 10

// ErrQuiet says that nothing has come.
var ErrQuiet = errors.New("nothing has come")

// Conn is a TCP connection. One goroutine may read from it, or wait, and one may
// write to it at a time. Its deadlines and its end are those of a net.TCPConn.
type Conn struct {
	*net.TCPConn

	raw     syscall.RawConn
	in, out transfer
	asked   bool                  // the request of Ask was sent
	ask     func(fd uintptr) bool // sendThenReceive, made once
	await   func(fd uintptr) bool // in.waitForSome, likewise
	look    func(fd uintptr)      // in.peek, likewise
}

// New makes a Conn of a connection, which nobody may use otherwise from now on.
func New(tcp *net.TCPConn) *Conn {
	raw, _ := tcp.SyscallConn() // it fails for nil alone
	c := &Conn{TCPConn: tcp, raw: raw}
	c.in.step, c.out.step = c.in.receive, c.out.send
	c.ask, c.await, c.look = c.sendThenReceive, c.in.waitForSome, c.in.peek
	return c
}

// Of returns a Conn of a TCP connection, and any other one as it is.
func Of(nc net.Conn) net.Conn {
	if tcp, ok := nc.(*net.TCPConn); ok {
		return New(tcp)
	}
	return nc
}

// Listener makes a Conn of every TCP connection that it accepts.
type Listener struct{ net.Listener }

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // the listener's own
	}
	return Of(nc), nil
}

// LimitUnsent bounds what the kernel takes from writes before it can send it, to
// about so many bytes: tcp(7), TCP_NOTSENT_LOWAT. A peer that reads nothing would
// otherwise be kept megabytes for.
func (c *Conn) LimitUnsent(bytes int) error {
	var failed error
	err := c.raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
	})
	if err == nil && failed != nil {
		err = os.NewSyscallError("setsockopt", failed)
	}
	return err //nolint:wrapcheck // package net's own
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 || len(p) > short {
		return c.TCPConn.Read(p) //nolint:wrapcheck // package net's own
	}
	c.in.begin(p)
	return c.received(c.raw.Read(c.in.step))
}

// received returns what came, unless err says that the poller did not wait.
func (c *Conn) received(err error) (int, error) {
	n, failed := c.in.end()
	switch {
	case err != nil:
		return 0, err //nolint:wrapcheck // package net's own
	case failed != 0:
		return 0, c.fault("read", failed)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) > short {
		return c.TCPConn.Write(p) //nolint:wrapcheck // package net's own
	}
	c.out.begin(p)
	err := c.raw.Write(c.out.step)
	n, failed := c.out.end()
	if err == nil && failed != 0 {
		err = c.fault("write", failed)
	}
	return n, err //nolint:wrapcheck // likewise
}

// Ask writes a request, waits, and reads what came into answer, which may be in
// the same memory. It returns how much of the request was sent and what was read;
// that is tried as well after not all could be sent.
//
// Unlike a Write and a Read it does not look before it waits, which is a call
// less. So it is only for a connection on which nothing has come that was not
// read: that would be noticed when more comes, or the end, or the deadline.
func (c *Conn) Ask(request, answer []byte) (sent, n int, err error) {
	c.asked = false
	c.out.begin(request)
	c.in.begin(answer)
	err = c.raw.Read(c.ask)
	sent, failed := c.out.end()
	if !c.asked || sent == len(request) {
		n, err = c.received(err)
		return sent, n, err
	}
	if failed == syscall.EAGAIN { // there is no room for more of it now
		var more int
		more, err = c.Write(request[sent:])
		sent += more
	} else {
		err = c.fault("write", failed)
	}
	if n, late := c.Read(answer); late == nil {
		return sent, n, nil
	}
	return sent, 0, err
}

// sendThenReceive is called for the first time before anything was awaited.
func (c *Conn) sendThenReceive(fd uintptr) bool {
	if c.asked {
		return c.in.receive(fd)
	}
	c.asked = true
	c.out.send(fd)
	return c.out.n < len(c.out.p)
}

// Peek says what there is to be read without waiting for it: nil if bytes are,
// ErrQuiet if nothing has come, and io.EOF or another error at the end.
func (c *Conn) Peek() error {
	if err := c.raw.Control(c.look); err != nil {
		return err //nolint:wrapcheck // package net's own
	}
	return c.peeked()
}

// Await waits until there is something to be read, which it leaves there, and
// returns what Peek would, or the error of a read deadline.
func (c *Conn) Await() error {
	if err := c.raw.Read(c.await); err != nil {
		return err //nolint:wrapcheck // package net's own
	}
	return c.peeked()
}

func (c *Conn) peeked() error {
	n, failed := c.in.end()
	switch {
	case failed == syscall.EAGAIN:
		return ErrQuiet
	case failed != 0:
		return c.fault("peek", failed)
	case n == 0:
		return io.EOF
	}
	return nil
}

func (c *Conn) fault(op string, err syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}

// transfer is what goes on in one direction. Its steps are given to the poller,
// which calls them again once the socket is ready if they report false. A
// closure for each would have to be allocated.
type transfer struct {
	p    []byte
	n    int // of p that were moved
	err  syscall.Errno
	step func(fd uintptr) bool
}

func (t *transfer) begin(p []byte) { t.p, t.n, t.err = p, 0, 0 }

// end returns what has become of it, and lets go of the caller's memory.
func (t *transfer) end() (int, syscall.Errno) {
	t.p = nil
	return t.n, t.err
}

func (t *transfer) receive(fd uintptr) bool {
	t.n, t.err = call(syscall.SYS_RECVFROM, fd, t.p, syscall.MSG_DONTWAIT)
	return t.err != syscall.EAGAIN
}

func (t *transfer) send(fd uintptr) bool {
	for t.n < len(t.p) {
		n, err := call(syscall.SYS_SENDTO, fd, t.p[t.n:], syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
		if err != 0 {
			t.err = err
			return err != syscall.EAGAIN
		}
		t.n += n
	}
	t.err = 0
	return true
}

func (t *transfer) peek(fd uintptr) {
	var one [1]byte
	t.n, t.err = call(syscall.SYS_RECVFROM, fd, one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

func (t *transfer) waitForSome(fd uintptr) bool {
	t.peek(fd)
	return t.err != syscall.EAGAIN
}

// call makes a system call that moves bytes from or to p, past the scheduler.
func call(trap, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		if err != syscall.EINTR {
			return int(n), err
		}
	}
}
