package console

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getFallback serves GET /models/:ref/fallback.
func (p *Console) getFallback(c *echo.Context) error {
	return p.showFallback(c, http.StatusOK, func(*views.Fallback) {})
}

func (p *Console) showFallback(c *echo.Context, status int, change func(*views.Fallback)) error {
	ctx, a := c.Request().Context(), actor(c)
	m, err := p.Catalog.Model(ctx, a.Organisation, c.Param("ref"))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	models, err := p.Catalog.Models(ctx, a.Organisation)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	fallbacks, err := p.Gateway.Fallbacks(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page := views.Fallback{ID: m.ID.String(), Name: m.Name, Models: strings.Join(fallbacks[m.Name], ", ")}
	for _, other := range models {
		if other.Name != m.Name && other.Kind == catalog.Chat {
			page.Others = append(page.Others, other.Name)
		}
	}
	change(&page)
	return p.show(c, status, "/models", page)
}

// postFallback serves POST /models/:ref/fallback.
func (p *Console) postFallback(c *echo.Context) error {
	names := strings.FieldsFunc(c.FormValue("models"), func(r rune) bool { return r == ',' || r == ' ' })
	if _, err := p.Gateway.SetFallback(c.Request().Context(), actor(c), c.Param("ref"), names); err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return p.showFallback(c, status, func(page *views.Fallback) { page.Models, page.Refusal = c.FormValue("models"), why })
	}
	return to(c, "/models")
}
