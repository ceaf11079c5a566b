package tunnel

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// link is the control plane's end of one connection.
type link struct {
	session *session
	http    *http.Transport
	running atomic.Int64 // requests whose answer has not ended, and streams that Open gave out
	dropped atomic.Bool
}

func newLink(conn net.Conn) *link {
	l := &link{session: newSession(conn, true)}
	l.http = &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return l.dial() },
		DisableCompression:     true, // bytes go through as they are
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        time.Minute, // shorter than the agent's: it never closes one that we use
		MaxResponseHeaderBytes: 256 << 10,
	}
	return l
}

// dial opens a stream for the transport, which counts requests and not streams.
func (l *link) dial() (net.Conn, error) {
	t, err := l.session.open()
	if err != nil {
		return nil, err
	}
	return t, nil
}

// open opens a stream that counts until it is closed.
func (l *link) open() (*Stream, error) {
	t, err := l.session.open()
	if err != nil {
		return nil, err
	}
	l.running.Add(1)
	t.running = &l.running
	return t, nil
}

// takes reports whether the link takes requests.
func (l *link) takes() bool { return !l.session.leaving.Load() }

// wait returns when the link has ended: nil after drop, else why.
func (l *link) wait() error {
	err := l.session.wait()
	l.http.CloseIdleConnections()
	if l.dropped.Load() {
		return nil
	}
	return fmt.Errorf("link ended: %w", err)
}

// drop ends the link and every request in it.
func (l *link) drop() {
	l.dropped.Store(true)
	l.session.end(errDropped)
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
