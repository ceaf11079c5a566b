package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Message is one server-sent event.
type Message struct {
	ID    string // what the browser sends back as Last-Event-ID; may be empty
	Event string // name of the event; empty is "message"
	Data  string // may have several lines
}

// Times of an event stream.
const (
	// streamHeartbeat keeps proxies from closing a quiet connection and finds
	// clients that went away without a word. It is an event, so that a page can
	// tell when it is the server that went.
	streamHeartbeat = 20 * time.Second
	// streamIdle ends a stream on which nothing happened: a forgotten tab comes
	// back by itself, with its Last-Event-ID, and is authorised anew.
	streamIdle = 10 * time.Minute
	// streamLife ends any stream, for the same reason.
	streamLife = 30 * time.Minute
	// streamWrite is how long a slow client may take to accept one message.
	streamWrite = 10 * time.Second
)

// Stream answers with server-sent events: each message as it comes, flushed,
// and a heartbeat in between. It returns when messages is closed, the client
// leaves or reads too slowly, or the stream has lived or idled long enough; the
// browser then reconnects by itself. Whoever closes messages at shutdown thereby
// ends the streams, which an http.Server would otherwise wait for.
func Stream(c *echo.Context, messages <-chan Message) error {
	if c.Request().Header.Get("Sec-Fetch-Site") == "cross-site" {
		return fault.New(fault.Denied, "Another site's page may not follow these events.").WithKind(KindCrossOrigin)
	}
	s := stream{w: c.Response(), control: http.NewResponseController(c.Response())}
	if err := s.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("open event stream: %w", err)
	}
	h := c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	c.Response().WriteHeader(http.StatusOK)
	s.write(": connected\n\n")

	heartbeat := time.NewTicker(streamHeartbeat)
	defer heartbeat.Stop()
	idle := time.NewTimer(streamIdle)
	defer idle.Stop()
	life := time.NewTimer(streamLife)
	defer life.Stop()
	for s.alive() {
		select {
		case m, ok := <-messages:
			if !ok {
				return nil
			}
			s.write(m.frame())
			idle.Reset(streamIdle)
		case <-heartbeat.C:
			s.write("event: alive\ndata:\n\n")
		case <-idle.C:
			return nil
		case <-life.C:
			return nil
		case <-c.Request().Context().Done():
			return nil
		}
	}
	return nil
}

// stream remembers whether the client is still there.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (s *stream) alive() bool { return s.err == nil }

func (s *stream) write(frame string) {
	// A rolling deadline replaces the server's, which would cut the stream.
	err := s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.err = err
		return
	}
	if _, s.err = s.w.Write([]byte(frame)); s.err != nil {
		return
	}
	s.err = s.control.Flush()
}

// frame returns m as it goes over the wire. Each line of the data is prefixed;
// a line break in the id or the name would start another field, so none passes.
func (m Message) frame() string {
	var b strings.Builder
	if m.ID != "" {
		b.WriteString("id: " + oneLine.Replace(m.ID) + "\n")
	}
	if m.Event != "" {
		b.WriteString("event: " + oneLine.Replace(m.Event) + "\n")
	}
	for line := range strings.SplitSeq(lineBreaks.Replace(m.Data), "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteString("\n")
	return b.String()
}

var (
	oneLine    = strings.NewReplacer("\r", "", "\n", "", "\x00", "")
	lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")
)
