package console

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/views"
)

// postAlias serves POST /aliases.
func (p *Console) postAlias(c *echo.Context) error {
	form := views.AliasRow{Name: c.FormValue("name"), Model: c.FormValue("model")}
	if _, err := p.Gateway.AddAlias(c.Request().Context(), actor(c), form.Name, form.Model); err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return p.showModels(c, status, form, why)
	}
	return to(c, "/models")
}

// getRemoveAlias serves GET /aliases/:name/remove, the question as a page.
func (p *Console) getRemoveAlias(c *echo.Context) error {
	all, err := p.Gateway.Aliases(c.Request().Context(), actor(c))
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	for _, a := range all {
		if a.Name == c.Param("name") {
			return p.show(c, http.StatusOK, "/models", views.ConfirmRemoveAlias(a.Name, a.Model))
		}
	}
	return echo.ErrNotFound
}

// postRemoveAlias serves POST /aliases/:name/remove.
func (p *Console) postRemoveAlias(c *echo.Context) error {
	if err := p.Gateway.RemoveAlias(c.Request().Context(), actor(c), c.Param("name")); err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	return to(c, "/models")
}
