package web

import (
	"fmt"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v5"
)

// Render answers with a page or a fragment. It renders to memory first, so an
// error on the way is answered as an error and not as half a page.
func Render(c *echo.Context, status int, page templ.Component) error {
	buf := templ.GetBuffer()
	defer templ.ReleaseBuffer(buf)
	if err := page.Render(c.Request().Context(), buf); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	return c.HTMLBlob(status, buf.Bytes())
}
