package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/yamux"
)

// Serve answers the requests that come back through conn with h, until the link
// ends or ctx does. When ctx ends it takes no new request, gives those that run
// up to grace to finish, and returns nil; it returns why the link ended
// otherwise. It always closes conn.
func Serve(ctx context.Context, conn net.Conn, h http.Handler, grace time.Duration) error {
	session, err := yamux.Server(&joined{Conn: conn}, yamuxConfig())
	if err != nil {
		return errors.Join(fmt.Errorf("open link: %w", err), conn.Close())
	}
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       3 * time.Minute, // longer than the hub's, see link
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(newStreams(ctx, session)) }()
	select {
	case err = <-ended:
		err = fmt.Errorf("link ended: %w", err)
	case <-ctx.Done():
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		_ = s.Shutdown(leave) // running out of grace is no fault
		cancel()
	}
	_ = session.Close()
	_ = s.Close()
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end was asked for
	}
	return err
}

// streams is a session as a listener whose Close only takes no more streams:
// http.Server.Shutdown closes the listener first, and the requests that run are
// in the same session.
type streams struct {
	*yamux.Session
	open context.Context //nolint:containedctx // ended by Close, as Accept is not given one
	done context.CancelFunc
}

func newStreams(ctx context.Context, session *yamux.Session) *streams {
	s := &streams{Session: session}
	s.open, s.done = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

func (s *streams) Accept() (net.Conn, error) {
	stream, err := s.AcceptStreamWithContext(s.open)
	if err != nil {
		return nil, err
	}
	return stream, nil
}

func (s *streams) Close() error {
	defer s.done()
	return s.GoAway()
}
