package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/socket"
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
		quick := socket.New(tcp)
		if config == nil {
			return &tcpConn{quick}, nil
		}
		secure := &tlsConn{Conn: tls.Client(quick, config), tcp: quick}
		ctx, cancel := context.WithTimeout(ctx, handshakeTime)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, nc.Close())
		}
		return secure, nil
	}
}

// tcpConn is a connection without TLS.
type tcpConn struct{ *socket.Conn }

// Usable implements Conn: nothing has come, not even the end.
func (c *tcpConn) Usable() bool { return errors.Is(c.Peek(), socket.ErrQuiet) }

// tlsConn is a connection with TLS.
type tlsConn struct {
	*tls.Conn

	tcp *socket.Conn
}

// Usable implements Conn. Bytes that wait may be a ticket for a later session;
// if they are the end, the request finds out.
func (c *tlsConn) Usable() bool {
	err := c.tcp.Peek()
	return err == nil || errors.Is(err, socket.ErrQuiet)
}
