package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

const handshakeTime = 5 * time.Second

// TCP returns what dials an address, with TLS unless config is nil.
func TCP(dialer *net.Dialer, address string, config *tls.Config) func(context.Context) (Conn, error) {
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"http/1.1"}
	}
	return func(ctx context.Context) (Conn, error) {
		nc, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err //nolint:wrapcheck // names the address and why
		}
		tcp, ok := nc.(*net.TCPConn)
		if !ok {
			return nil, errors.Join(errors.New("not a TCP connection"), nc.Close())
		}
		plain := &tcpConn{TCPConn: tcp}
		if plain.raw, err = tcp.SyscallConn(); err != nil {
			return nil, errors.Join(err, nc.Close())
		}
		plain.peek = plain.look
		if config == nil {
			return plain, nil
		}
		secure := &tlsConn{Conn: tls.Client(tcp, config), tcp: plain}
		ctx, cancel := context.WithTimeout(ctx, handshakeTime)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, nc.Close())
		}
		return secure, nil
	}
}

// tcpConn knows what came while nobody read.
type tcpConn struct {
	*net.TCPConn

	raw  syscall.RawConn
	peek func(fd uintptr) // look, made once
	n    int
	err  error
}

// Usable implements Conn: nothing has come, not even the end.
func (c *tcpConn) Usable() bool {
	err := c.pending()
	return errors.Is(err, syscall.EAGAIN)
}

// pending returns EAGAIN when nothing waits to be read, nil when bytes do, and
// io.EOF or another error when the connection is at its end.
func (c *tcpConn) pending() error {
	if err := c.raw.Control(c.peek); err != nil {
		return err //nolint:wrapcheck // only its being there counts
	}
	if c.err == nil && c.n == 0 {
		return io.EOF
	}
	return c.err
}

func (c *tcpConn) look(fd uintptr) {
	var one [1]byte
	c.n, _, c.err = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

// tlsConn is a connection with TLS.
type tlsConn struct {
	*tls.Conn

	tcp *tcpConn
}

// Usable implements Conn. Bytes that wait may be a ticket for a later session;
// if they are the end, the request finds out.
func (c *tlsConn) Usable() bool {
	err := c.tcp.pending()
	return err == nil || errors.Is(err, syscall.EAGAIN)
}
