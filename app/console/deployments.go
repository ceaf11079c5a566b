package console

import (
	"context"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getDeployments serves GET /deployments.
func (p *Console) getDeployments(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	all, err := p.Instances.Deployments(ctx, a.Organisation)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	perHour, err := p.burnByDeployment(ctx, a)
	if err != nil {
		return err
	}
	page := views.Deployments{May: allowed(a)}
	for _, d := range all {
		page.Rows = append(page.Rows, deploymentRow(d, perHour[d.ID]))
	}
	return p.show(c, http.StatusOK, "/deployments", page)
}

// burnByDeployment is what each deployment costs per hour now.
func (p *Console) burnByDeployment(ctx context.Context, a auth.Actor) (map[uuid.UUID]money.EUR, error) {
	instances, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{})
	if err != nil {
		return nil, err //nolint:wrapcheck // says enough
	}
	f, err := p.figures(ctx, a)
	sums := map[uuid.UUID]money.EUR{}
	for _, i := range instances {
		if r := f.row(i); r.Billed {
			sums[i.DeploymentID] += r.PerHour
		}
	}
	return sums, err
}

func deploymentRow(d instance.Deployment, perHour money.EUR) views.DeploymentRow {
	r := views.DeploymentRow{
		ID: d.ID.String(), Name: d.Name, Model: d.Model, Reason: d.Message, Ready: d.Ready, Replicas: d.Live, Min: d.Min, Max: d.Max, Idle: d.Idle,
		PerHour: perHour, Created: d.CreatedAt,
	}
	for _, o := range d.Offers {
		r.Offers = append(r.Offers, o.Type+", "+o.Zone)
	}
	switch {
	case d.Stopped && d.Live > 0:
		r.State = "stopping"
	case d.Stopped:
		r.State = "stopped"
		r.Reason = ""
	case d.Ready > 0 && d.Ready >= d.Min:
		r.State = "serving"
	case d.Reason == instance.ReasonReplicasFailing:
		r.State = "broken"
	case d.Reason == instance.ReasonAsleep:
		r.State = "asleep"
	case d.Live > 0:
		r.State = "scaling"
	default:
		r.State = "waiting"
	}
	return r
}

// getDeployment serves GET /deployments/:ref.
func (p *Console) getDeployment(c *echo.Context) error {
	return p.showDeployment(c, http.StatusOK, views.Refusal{})
}

func (p *Console) showDeployment(c *echo.Context, status int, why views.Refusal) error {
	ctx, a := c.Request().Context(), actor(c)
	d, err := p.Instances.Deployment(ctx, a.Organisation, c.Param("ref"))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	instances, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{Deployment: d.ID.String()})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	f, err := p.figures(ctx, a)
	if err != nil {
		return err
	}
	page := views.Deployment{
		May: allowed(a), Refusal: why, CreatedBy: d.CreatedBy,
		Snippets: views.Snippets{BaseURL: p.baseURL(), Model: d.Model, Embeds: d.Kind == "embedding"},
	}
	var perHour money.EUR
	for _, i := range instances {
		if i.State.Gone() {
			continue
		}
		r := f.row(i)
		if r.Billed {
			perHour += r.PerHour
		}
		page.Instances = append(page.Instances, r)
	}
	if err := p.withSparks(ctx, a.Organisation, page.Instances); err != nil {
		return err
	}
	page.Row = deploymentRow(d, perHour)
	if page.Offers, err = p.offerLines(ctx, d); err != nil {
		return err
	}
	return p.show(c, status, "/deployments", page)
}

// offerLines adds price and stock to a deployment's order of preference.
func (p *Console) offerLines(ctx context.Context, d instance.Deployment) ([]views.OfferLine, error) {
	offers, err := p.Catalog.Offers(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // says enough
	}
	known := map[string]views.OfferLine{}
	for _, o := range offers {
		known[o.Ref()] = views.OfferLine{Stock: string(o.Stock), PerHour: o.PricePerHour}
	}
	lines := make([]views.OfferLine, len(d.Offers))
	for i, o := range d.Offers {
		lines[i] = known[o.String()]
		lines[i].Name, lines[i].Where = o.Type, o.Provider+", "+o.Zone
	}
	return lines, nil
}

// postScale serves POST /deployments/:ref/scale.
func (p *Console) postScale(c *echo.Context) error {
	low, err1 := strconv.Atoi(c.FormValue("min"))
	high, err2 := strconv.Atoi(c.FormValue("max"))
	if err1 != nil || err2 != nil {
		low, high = -1, -1 // the service says what is allowed
	}
	_, err := p.Instances.Scale(c.Request().Context(), actor(c), c.Param("ref"), low, high, idleMinutes(c.FormValue("idle")))
	return p.afterDeployment(c, err)
}

// idleMinutes reads the idle time of a form; nil for one that does not say it.
func idleMinutes(text string) *int {
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		n = -1 // the service says what is allowed
	}
	return &n
}

// postStart serves POST /deployments/:ref/start.
func (p *Console) postStart(c *echo.Context) error {
	_, err := p.Instances.StartDeployment(c.Request().Context(), actor(c), c.Param("ref"))
	return p.afterDeployment(c, err)
}

// afterDeployment goes back to the deployment, or shows why it was refused.
func (p *Console) afterDeployment(c *echo.Context, err error) error {
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return p.showDeployment(c, status, toInputs(why))
	}
	return to(c, "/deployments/"+c.Param("ref"))
}

// getStop serves GET /deployments/:ref/stop, the question as a page.
func (p *Console) getStop(c *echo.Context) error {
	return p.ask(c, http.StatusOK, views.ConfirmStop, views.Refusal{})
}

// getDelete serves GET /deployments/:ref/delete, the question as a page.
func (p *Console) getDelete(c *echo.Context) error {
	return p.ask(c, http.StatusOK, views.ConfirmDelete, views.Refusal{})
}

func (p *Console) ask(c *echo.Context, status int, question func(id, name string) views.Confirm, why views.Refusal) error {
	d, err := p.Instances.Deployment(c.Request().Context(), actor(c).Organisation, c.Param("ref"))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	page := question(d.ID.String(), d.Name)
	page.Refusal = why
	return p.show(c, status, "/deployments", page)
}

// postStop serves POST /deployments/:ref/stop.
func (p *Console) postStop(c *echo.Context) error {
	return p.confirmed(c, views.ConfirmStop, func(ref string) (string, error) {
		_, err := p.Instances.StopDeployment(c.Request().Context(), actor(c), ref)
		return "/deployments/" + ref, err //nolint:wrapcheck // a sentence for people
	})
}

// postDelete serves POST /deployments/:ref/delete.
func (p *Console) postDelete(c *echo.Context) error {
	return p.confirmed(c, views.ConfirmDelete, func(ref string) (string, error) {
		return "/deployments", p.Instances.DeleteDeployment(c.Request().Context(), actor(c), ref)
	})
}

// confirmed does what was asked for once the name was typed.
func (p *Console) confirmed(c *echo.Context, question func(id, name string) views.Confirm, do func(ref string) (string, error)) error {
	d, err := p.Instances.Deployment(c.Request().Context(), actor(c).Organisation, c.Param("ref"))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	if c.FormValue("confirm") != d.Name {
		return p.ask(c, http.StatusUnprocessableEntity, question, notTyped(d.Name))
	}
	next, err := do(d.ID.String())
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return p.ask(c, status, question, why)
	}
	return to(c, next)
}

// notTyped is why a confirmation was not accepted.
func notTyped(name string) views.Refusal {
	return views.Refusal{Text: "What was typed is not " + name + ".", Fix: "Nothing was done. Type the name exactly.", Field: "confirm"}
}
