package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/socket"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// dialTimeout bounds everything from the first packet to the 101.
const dialTimeout = 10 * time.Second

// Upgrade answers a request on wire.TunnelPath with 101 and returns its
// connection, ready for Hub.Accept. The error wraps wire.ErrProtocol or
// ErrNotUpgrade when the request cannot be served; nothing has been written
// then and the caller answers it.
func Upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), wire.Upgrade) {
		return nil, ErrNotUpgrade
	}
	version, err := strconv.Atoi(r.Header.Get(wire.ProtocolHeader))
	if err != nil {
		return nil, fmt.Errorf("%w: no protocol named", ErrNotUpgrade)
	}
	if err := wire.CheckProtocol(version); err != nil {
		return nil, err
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotUpgrade, err)
	}
	if err := welcome(conn, rw); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("upgrade to tunnel: %w", err)
	}
	return conn, nil
}

func welcome(conn net.Conn, rw *bufio.ReadWriter) error {
	if rw.Reader.Buffered() > 0 {
		return errors.New("the agent spoke before it was answered")
	}
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	_, err := conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + wire.Upgrade + "\r\n\r\n"))
	if err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// Dial connects to the control plane at address (host:port, the host an IP) and
// asks for a tunnel. conf holds the client certificate and the platform's CA. A
// refusal is returned as a *wire.Problem.
func Dial(ctx context.Context, address string, conf *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := dialTLS(ctx, address, conf)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	r := bufio.NewReader(conn)
	err = ask(ctx, conn, r)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ask %s for a tunnel: %w", address, err)
	}
	return &answered{conn, r}, nil
}

func dialTLS(ctx context.Context, address string, conf *tls.Config) (*tls.Conn, error) {
	d := net.Dialer{KeepAlive: 15 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(socket.Of(nc), conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return conn, nil
}

// answered is a connection after the 101: what came with it is read first.
type answered struct {
	net.Conn
	r *bufio.Reader
}

func (a *answered) Read(p []byte) (int, error) { return a.r.Read(p) }

func ask(ctx context.Context, conn net.Conn, r *bufio.Reader) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+wire.ServerName+wire.TunnelPath, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", wire.Upgrade)
	req.Header.Set(wire.ProtocolHeader, strconv.Itoa(wire.Protocol))
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer func() { _ = resp.Body.Close() }()
		return wire.ReadProblem(resp)
	}
	return nil
}
