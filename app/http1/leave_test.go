package http1_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/http1"
)

// telling is a connection without a file descriptor that can be told that its
// client has left.
type telling struct {
	net.Conn

	tell chan func()
}

func (c *telling) OnLeave(f func()) { c.tell <- f }

// offered is a listener of the connections that are put into it.
type offered chan net.Conn

func (o offered) Accept() (net.Conn, error) {
	if c, ok := <-o; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (o offered) Close() error   { close(o); return nil }
func (o offered) Addr() net.Addr { return &net.TCPAddr{} }

func TestServe_isToldThatTheClientLeft(t *testing.T) {
	t.Parallel()
	running, ended := make(chan struct{}), make(chan struct{})
	s := http1.New(http1.Config{
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(running)
			<-r.Context().Done()
			close(ended)
		}),
		Mine: func(string) bool { return true }, Log: slog.New(slog.DiscardHandler), HeaderTimeout: time.Minute, IdleTimeout: time.Minute,
	})
	ln := make(offered, 1)
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(context.WithoutCancel(t.Context()), ln) })
	near, far := net.Pipe()
	c := &telling{Conn: far, tell: make(chan func(), 1)}
	ln <- c
	leave := <-c.tell
	go func() { _, _ = io.Copy(io.Discard, near) }()
	_, _ = io.WriteString(near, post("/v1/x", "", "{}"))
	<-running
	leave()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the handler was not told")
	}
	_ = s.Close()
	served.Wait()
	_ = near.Close()
}
