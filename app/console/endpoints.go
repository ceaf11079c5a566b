package console

import (
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getEndpoints serves GET /endpoints.
func (p *Console) getEndpoints(c *echo.Context) error {
	return p.showEndpoints(c, http.StatusOK, views.Endpoints{})
}

func (p *Console) showEndpoints(c *echo.Context, status int, page views.Endpoints) error {
	all, err := p.Gateway.Endpoints(c.Request().Context(), actor(c))
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page.May = allowed(actor(c))
	for _, e := range all {
		if s, ok := p.Gateway.Standing(e.ID); ok && s.Ejected && e.Message == "" {
			e.State, e.Message = gateway.SetAside, s.Why()
		}
		page.Rows = append(page.Rows, views.EndpointRow{
			ID: e.ID.String(), Name: e.Name, Model: e.Model, URL: e.BaseURL, State: e.State, Message: e.Message, Keyed: e.Keyed, Checked: e.CheckedAt,
		})
	}
	return p.show(c, status, "/endpoints", page)
}

// postEndpoint serves POST /endpoints.
func (p *Console) postEndpoint(c *echo.Context) error {
	form := views.EndpointForm{Name: c.FormValue("name"), Model: c.FormValue("model"), URL: c.FormValue("url")}
	_, err := p.Gateway.AddEndpoint(c.Request().Context(), actor(c), gateway.NewEndpoint{
		Name: form.Name, Model: form.Model, BaseURL: form.URL, Key: c.FormValue("key"),
	})
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return p.showEndpoints(c, status, views.Endpoints{Form: form, Refusal: why})
	}
	return to(c, "/endpoints")
}

// getRemoveEndpoint serves GET /endpoints/:ref/remove, the question as a page.
func (p *Console) getRemoveEndpoint(c *echo.Context) error {
	all, err := p.Gateway.Endpoints(c.Request().Context(), actor(c))
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	for _, e := range all {
		if e.ID.String() == c.Param("ref") || e.Name == c.Param("ref") {
			return p.show(c, http.StatusOK, "/endpoints", views.ConfirmRemoveEndpoint(e.ID.String(), e.Name))
		}
	}
	return echo.ErrNotFound
}

// postRemoveEndpoint serves POST /endpoints/:ref/remove.
func (p *Console) postRemoveEndpoint(c *echo.Context) error {
	if err := p.Gateway.RemoveEndpoint(c.Request().Context(), actor(c), c.Param("ref")); err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	return to(c, "/endpoints")
}
