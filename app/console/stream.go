package console

import (
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
)

// getEvents serves GET /events/stream. It goes on after Last-Event-ID, which a
// browser sends when it reconnects by itself, or after ?since=, which is the
// last event that the page had seen when it was drawn.
func (p *Console) getEvents(c *echo.Context) error {
	a := actor(c)
	last := c.Request().Header.Get("Last-Event-ID")
	if last == "" {
		last = c.QueryParam("since")
	}
	sub := p.Events.Subscribe(a.Organisation, a.Can(auth.PlatformOperate), last)
	defer sub.Close()

	done := c.Request().Context().Done()
	messages := make(chan web.Message)
	go func() {
		defer close(messages)
		for {
			select {
			case m, ok := <-sub.Messages():
				if !ok || m.Topic == events.Member && !p.still(c, a) {
					return
				}
				select {
				case messages <- web.Message{ID: m.ID, Event: m.Topic, Data: m.Key}:
				case <-done:
					return
				}
			case <-done:
				return
			}
		}
	}()
	return web.Stream(c, messages)
}

// still reports whether whoever follows the events may still see those of the
// organisation; it is asked whenever the organisation's members change.
func (p *Console) still(c *echo.Context, was auth.Actor) bool {
	now, err := p.Auth.Peek(c.Request().Context(), p.Guard.Cookies.Token(c.Request()))
	return err == nil && now.Organisation == was.Organisation && now.Role == was.Role
}
