package console

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getPlayground serves GET /playground.
func (p *Console) getPlayground(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	ready, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{States: []instance.State{instance.Ready}})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	endpoints, err := p.Gateway.Endpoints(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	models, err := p.Catalog.Models(ctx, a.Organisation)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	serving := map[string]bool{}
	for _, i := range ready {
		serving[i.Model] = true
	}
	for _, e := range endpoints {
		if e.State == "reachable" {
			serving[e.Model] = true
		}
	}
	deployments, err := p.Instances.Deployments(ctx, a.Organisation)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	for _, d := range deployments {
		if d.Min == 0 && !d.Stopped { // asleep, perhaps: a question wakes it
			serving[d.Model] = true
		}
	}
	page := views.Playground{BaseURL: p.baseURL(), Person: a.Name, May: allowed(a), Model: c.QueryParam("model")}
	for _, m := range models {
		if serving[m.Name] && m.Kind == catalog.Chat {
			page.Models = append(page.Models, views.PlayModel{Name: m.Name, Input: m.Price.Input, Output: m.Price.Output})
		}
	}
	known := slices.ContainsFunc(page.Models, func(m views.PlayModel) bool { return m.Name == page.Model })
	if !known && len(page.Models) > 0 {
		page.Model = page.Models[0].Name
	}
	return p.show(c, http.StatusOK, "/playground", page)
}

// postChat serves POST /playground/v1/chat/completions: the gateway's own path,
// metered on the person instead of a key.
func (p *Console) postChat(c *echo.Context) error {
	a := actor(c)
	r := c.Request().Clone(c.Request().Context())
	r.URL.Path, r.URL.RawPath, r.RequestURI = "/v1/chat/completions", "", "/v1/chat/completions"
	r.Header.Del("Cookie") // nobody behind the gateway needs the session
	p.Gateway.ServeAs(c.Response(), r, gateway.Caller{Organisation: a.Organisation, UserID: a.UserID})
	return nil
}
