package tunnel

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/http1"
)

const (
	headTime = time.Minute     // for the head of a request
	idleTime = 3 * time.Minute // longer than the control plane keeps a stream for later
)

// Serve answers the requests that come back through conn with h, until the link
// ends or ctx does. When ctx ends it takes no new request, gives those that run
// up to grace to finish, and returns nil; it returns why the link ended
// otherwise. It always closes conn.
//
// What app/http1 asks of a handler holds for h: nothing of a request may be kept
// after it has returned.
func Serve(ctx context.Context, conn net.Conn, h http.Handler, grace time.Duration) error {
	s := newSession(conn, false)
	quiet := slog.New(slog.DiscardHandler)
	front := http1.New(http1.Config{
		Handler: h, Mine: func(string) bool { return true }, Log: quiet, HeaderTimeout: headTime, IdleTimeout: idleTime,
	})
	rest := &http.Server{
		Handler: h, ReadHeaderTimeout: headTime, IdleTimeout: idleTime, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	var served sync.WaitGroup
	served.Go(func() { _ = front.Serve(ctx, streams{s}) })
	served.Go(func() { _ = rest.Serve(front.Rest()) })
	select {
	case <-s.done:
	case <-ctx.Done():
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		_ = front.Shutdown(leave) // running out of grace is no fault
		_ = rest.Shutdown(leave)
		cancel()
	}
	s.close()
	err := s.wait()
	_ = front.Close()
	_ = rest.Close()
	served.Wait()
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end was asked for
	}
	return fmt.Errorf("link ended: %w", err)
}

// streams is a session as a listener. Its Close only takes no more streams, as a
// server closes its listener first, and the requests that run are in the same
// session.
type streams struct{ *session }

func (s streams) Accept() (net.Conn, error) {
	t, err := s.accept()
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (s streams) Close() error {
	s.leave()
	return nil
}

func (s streams) Addr() net.Addr { return s.conn.LocalAddr() }
