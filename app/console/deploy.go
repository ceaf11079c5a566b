package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// monthly is the time that a price per month is for: a twelfth of a year.
const monthly = 730 * time.Hour

// getDeploy serves GET /deployments/new: model, machine and review on one page,
// filled with the choices so far.
func (p *Console) getDeploy(c *echo.Context) error {
	page, err := p.plan(c.Request().Context(), actor(c), c.QueryParams())
	if err != nil {
		return err
	}
	if c.QueryParam("fragment") == "plan" {
		return web.Render(c, http.StatusOK, page.Plan())
	}
	return p.show(c, http.StatusOK, "/deployments", page)
}

// postDeployment serves POST /deployments.
func (p *Console) postDeployment(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	form, err := c.FormValues()
	if err != nil {
		return err //nolint:wrapcheck // answered as a request that could not be read
	}
	page, err := p.plan(ctx, a, form)
	if err != nil {
		return err
	}
	if was := form.Get("was"); was != "" && was != chosenName(page) {
		page.Refusal = views.Refusal{
			Text: "The model was changed after its machines and prices were shown.", Fix: "Nothing was deployed. Look at the machines for it, then deploy.",
		}
		return p.show(c, http.StatusUnprocessableEntity, "/deployments", page)
	}
	offers := []string{form.Get("first")}
	for _, o := range page.Offers { // the cheapest first
		if slices.Contains(page.Then, o.ID) && o.ID != offers[0] {
			offers = append(offers, o.ID)
		}
	}
	low, high := number(form.Get("min"), -1), number(form.Get("max"), -1) // the service says what is allowed
	d, err := p.Instances.Deploy(ctx, a, instance.DeployRequest{
		Name: form.Get("name"), Model: form.Get("model"), Offers: offers, Min: low, Max: high, Idle: idleMinutes(form.Get("idle")),
	})
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		page.Refusal = toInputs(why)
		page.Name, page.Min, page.Max = form.Get("name"), max(low, 0), max(high, 0)
		return p.show(c, status, "/deployments", page)
	}
	return to(c, "/deployments/"+d.ID.String())
}

// chosenName is the name of the chosen model.
func chosenName(page views.Deploy) string {
	for _, m := range page.Models {
		if m.ID == page.Model {
			return m.Name
		}
	}
	return ""
}

// toInputs points a refusal at an input of the form: the service speaks of
// replicas where the form has two numbers, and of things that are chosen from
// a list and have no single input.
func toInputs(why views.Refusal) views.Refusal {
	switch why.Field {
	case "name":
	case "replicas":
		why.Field = "min"
	case "idle_minutes":
		why.Field = "idle"
	default:
		why.Field = ""
	}
	return why
}

// plan fills the form from what was chosen.
func (p *Console) plan(ctx context.Context, a auth.Actor, form url.Values) (views.Deploy, error) {
	page := views.Deploy{
		Model: form.Get("model"), First: form.Get("first"), Then: form["then"], Name: form.Get("name"),
		Min: number(form.Get("min"), 1), Max: number(form.Get("max"), 1), Idle: instance.DefaultIdle, May: allowed(a),
	}
	page.Max = max(page.Max, page.Min)
	if idle := idleMinutes(form.Get("idle")); idle != nil {
		page.Idle = max(*idle, 0)
	}
	models, err := p.Catalog.Models(ctx, a.Organisation)
	if err != nil {
		return page, err //nolint:wrapcheck // says enough
	}
	instances, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{States: []instance.State{instance.Ready}})
	if err != nil {
		return page, err //nolint:wrapcheck // says enough
	}
	offers, err := p.Catalog.Offers(ctx)
	if err != nil {
		return page, err //nolint:wrapcheck // says enough
	}
	offers = slices.DeleteFunc(offers, func(o catalog.Offer) bool { return !o.Active || !p.rents(o.Provider) })
	var chosen *catalog.Model
	without := map[string]int{} // 1 for a model that no machine here can hold
	for i, m := range models {
		if !m.Active || m.RequiredVRAMGB == 0 && !m.Simulated {
			continue
		}
		choice := views.ModelChoice{ID: m.ID.String(), Name: m.Name, VRAM: m.RequiredVRAMGB, Context: m.ContextLength, Simulated: m.Simulated}
		for _, i := range instances {
			if i.Model == m.Name {
				choice.Serving++
			}
		}
		if !slices.ContainsFunc(offers, func(o catalog.Offer) bool { return m.Misfit(o) == "" }) {
			without[choice.ID] = 1
		}
		page.Models = append(page.Models, choice)
		if m.ID.String() == page.Model || m.Name == page.Model {
			chosen = &models[i]
		}
	}
	// What can run here comes first.
	slices.SortStableFunc(page.Models, func(a, b views.ModelChoice) int { return without[a.ID] - without[b.ID] })
	if chosen == nil {
		page.Model = ""
		return page, nil
	}
	page.Model, page.Needs = chosen.ID.String(), chosen.RequiredVRAMGB
	page.Offers = offerChoices(*chosen, offers)
	settle(&page)
	if page.Name == "" || page.Name == slug(form.Get("was")) {
		page.Name = slug(chosen.Name)
	}
	return page, nil
}

// rents reports whether this process may rent machines of a provider.
func (p *Console) rents(provider string) bool {
	return len(p.Providers) == 0 || slices.Contains(p.Providers, provider)
}

// offerChoices lists the machines for a model: those that hold it first, the
// cheapest first, those in stock before those that are out.
func offerChoices(m catalog.Model, offers []catalog.Offer) []views.OfferChoice {
	choices := make([]views.OfferChoice, 0, len(offers))
	for _, o := range offers {
		why := m.Misfit(o)
		gpu := "no GPU"
		if o.GPUCount > 0 {
			gpu = strconv.Itoa(o.GPUCount) + " × " + o.GPU
		}
		choices = append(choices, views.OfferChoice{
			ID: o.Ref(), Type: o.Type, Where: o.Provider + ", " + o.Zone, GPU: gpu, VRAM: o.VRAMGB(),
			PerHour: o.PricePerHour, PerMonth: o.PricePerHour.PerHour(monthly), Stock: string(o.Stock), Fits: why == "", Why: why,
		})
	}
	slices.SortStableFunc(choices, func(a, b views.OfferChoice) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.PerHour, b.PerHour), cmp.Compare(a.ID, b.ID))
	})
	return choices
}

func rank(o views.OfferChoice) int {
	switch {
	case !o.Fits:
		return 2
	case o.Stock == string(catalog.Out):
		return 1
	}
	return 0
}

// settle keeps the chosen machine when it still fits, and else proposes the
// first that does.
func settle(page *views.Deploy) {
	var best string
	for _, o := range page.Offers {
		if !o.Fits {
			continue
		}
		if o.ID == page.First {
			return
		}
		if best == "" {
			best = o.ID
		}
	}
	page.First = best
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// slug makes a name for a deployment out of a model's.
func slug(model string) string {
	base := strings.ToLower(model[strings.LastIndexByte(model, '/')+1:])
	s := notInNames.ReplaceAllString(base, "-")
	return strings.Trim(s[:min(len(s), 48)], "-")
}

// number reads a small count; what is none becomes otherwise.
func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil && n >= -1 && n < 1000 {
		return n
	}
	return otherwise
}
