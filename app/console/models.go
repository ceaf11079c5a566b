package console

import (
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getModels serves GET /models, the catalogue.
func (p *Console) getModels(c *echo.Context) error {
	return p.showModels(c, http.StatusOK, views.AliasRow{}, views.Refusal{})
}

func (p *Console) showModels(c *echo.Context, status int, typed views.AliasRow, why views.Refusal) error {
	ctx, a := c.Request().Context(), actor(c)
	models, err := p.Catalog.Models(ctx, a.Organisation)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	ready, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{States: []instance.State{instance.Ready}})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	endpoints, err := p.Gateway.Endpoints(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	fallbacks, err := p.Gateway.Fallbacks(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	aliases, err := p.Gateway.Aliases(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	serving := map[string]int{}
	for _, i := range ready {
		if p.takesRequests(i.ID) {
			serving[i.Model]++
		}
	}
	for _, e := range endpoints {
		if e.State == "reachable" && p.takesRequests(e.ID) {
			serving[e.Model]++
		}
	}
	page := views.Models{May: allowed(a), Form: typed, Refusal: why}
	for _, other := range aliases {
		page.Aliases = append(page.Aliases, views.AliasRow{Name: other.Name, Model: other.Model})
	}
	for _, m := range models {
		page.Rows = append(page.Rows, views.ModelRow{
			ID: m.ID.String(), Name: m.Name, Title: m.Title, Kind: string(m.Kind), VRAM: m.RequiredVRAMGB, Context: m.ContextLength,
			Input: m.Price.Input, Output: m.Price.Output, Priced: m.Price.ID != 0,
			Ready: serving[m.Name], Simulated: m.Simulated, Own: m.Organisation != uuid.Nil,
			Fallback: fallbacks[m.Name],
		})
	}
	return p.show(c, status, "/models", page)
}

// getPrice serves GET /models/:ref/price.
func (p *Console) getPrice(c *echo.Context) error {
	return p.showPrice(c, http.StatusOK, func(*views.Price) {})
}

func (p *Console) showPrice(c *echo.Context, status int, change func(*views.Price)) error {
	m, err := p.Catalog.Model(c.Request().Context(), actor(c).Organisation, c.Param("ref"))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	page := views.Price{ID: m.ID.String(), Name: m.Name, Input: m.Price.Input.String(), Output: m.Price.Output.String(), From: "the platform’s price list"}
	switch {
	case m.Price.ID == 0:
		page.From = "nobody: its tokens are counted and cost nothing"
	case m.Price.Organisation != uuid.Nil:
		page.From = "this organisation"
	}
	change(&page)
	return p.show(c, status, "/models", page)
}

// postPrice serves POST /models/:ref/price.
func (p *Console) postPrice(c *echo.Context) error {
	typed := func(why views.Refusal) func(*views.Price) {
		return func(page *views.Price) {
			page.Input, page.Output, page.Refusal = c.FormValue("input"), c.FormValue("output"), why
		}
	}
	prices := map[string]money.EUR{}
	for _, field := range []string{"input", "output"} {
		v, err := money.Parse(c.FormValue(field))
		if err != nil {
			why := views.Refusal{Text: "“" + c.FormValue(field) + "” is not a price.", Fix: "Write euros with up to nine decimals, such as 0.15.", Field: field}
			return p.showPrice(c, http.StatusUnprocessableEntity, typed(why))
		}
		prices[field] = v
	}
	if _, err := p.Catalog.SetPrice(c.Request().Context(), actor(c), c.Param("ref"), prices["input"], prices["output"]); err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return p.showPrice(c, status, typed(why))
	}
	return to(c, "/models")
}
