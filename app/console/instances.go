package console

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getInstances serves GET /instances.
func (p *Console) getInstances(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	page := views.Instances{Filter: c.QueryParam("show"), May: allowed(a)}
	if !slices.Contains([]string{"ended", "all"}, page.Filter) {
		page.Filter = "running"
	}
	all, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{Archived: page.Filter != "running"})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	f, err := p.figures(ctx, a)
	if err != nil {
		return err
	}
	for _, i := range all {
		r := f.row(i)
		if !i.State.Gone() && !i.State.Failure() {
			page.Running++
		}
		if r.Billed {
			page.PerHour += r.PerHour
		}
		if page.Filter == "all" || i.State.Gone() == (page.Filter == "ended") {
			page.Rows = append(page.Rows, r)
		}
	}
	if err := p.withSparks(ctx, a.Organisation, page.Rows); err != nil {
		return err
	}
	return p.show(c, http.StatusOK, "/instances", page)
}
