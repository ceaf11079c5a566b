package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// homeRows is how many instances the first page lists.
const homeRows = 8

// getHome serves GET /, the first page.
func (p *Console) getHome(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	page := views.Home{BaseURL: p.baseURL(), May: allowed(a), Month: time.Now().UTC().Month().String()}
	if a.Organisation != uuid.Nil && a.Can(auth.InstancesView) {
		if err := p.fillHome(ctx, a, &page); err != nil {
			return err
		}
	}
	if a.Can(auth.PlatformOperate) {
		page.Alerts = append(page.Alerts, failing(p.Loops)...)
	}
	return p.show(c, http.StatusOK, "/", page)
}

// failing is a note for each loop that fails, for who operates the platform.
func failing(loops []*loop.Loop) []views.Alert {
	var alerts []views.Alert
	for _, l := range loops {
		if s := l.Status(); s.LastErr != "" {
			what, _, _ := strings.Cut(s.LastErr, "\n") // the first of several, or of a panic's lines
			alerts = append(alerts, views.Alert{Title: "The loop " + s.Name + " fails.", Text: what, Href: "/loops", Action: "See the loops"})
		}
	}
	return alerts
}

func (p *Console) fillHome(ctx context.Context, a auth.Actor, page *views.Home) error {
	all, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	all = slices.DeleteFunc(all, func(i instance.Instance) bool { return i.State.Gone() })
	f, err := p.figures(ctx, a)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, failuresLast)
	page.Total = len(all)
	serving := map[string]bool{}
	for _, i := range all {
		switch {
		case i.State == instance.Ready:
			if p.takesRequests(i.ID) {
				serving[i.Model] = true
			}
		case i.State.Rising():
			page.Starting++
		}
		if len(page.Rows) < homeRows {
			page.Rows = append(page.Rows, f.row(i))
		}
	}
	if err := p.withSparks(ctx, a.Organisation, page.Rows); err != nil {
		return err
	}
	deployments, err := p.Instances.Deployments(ctx, a.Organisation)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page.Alerts = append(broken(all), waiting(deployments)...)
	endpoints, err := p.Gateway.Endpoints(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	for _, e := range endpoints {
		if e.State == "reachable" && p.takesRequests(e.ID) {
			serving[e.Model] = true
		}
	}
	routes, err := p.Gateway.Routes(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page.Alerts = append(page.Alerts, setAside(routes)...)
	page.Serving = len(serving)
	if err := p.homeFigures(ctx, a, page, len(f.billed)); err != nil {
		return err
	}
	return p.firstSteps(ctx, a, page, len(deployments)+len(endpoints) > 0)
}

// failuresLast orders a list by what works; the notes speak of the rest.
func failuresLast(x, y instance.Instance) int {
	rank := func(i instance.Instance) int {
		if i.State.Failure() {
			return 1
		}
		return 0
	}
	return rank(x) - rank(y)
}

// broken is a note for each deployment of which instances need a look; the
// newest of them, which comes first, says why.
func broken(all []instance.Instance) []views.Alert {
	var alerts []views.Alert
	var of []uuid.UUID // the deployment of each alert
	count := map[uuid.UUID]int{}
	for _, i := range all {
		if !i.State.Failure() && i.Flag == "" {
			continue
		}
		count[i.DeploymentID]++
		if n := count[i.DeploymentID]; n > 1 {
			a := &alerts[slices.Index(of, i.DeploymentID)]
			a.Title = views.Count(n) + " instances of " + i.Deployment + " need a look."
			a.Href, a.Action = "/deployments/"+i.DeploymentID.String(), "See the deployment"
			continue
		}
		of = append(of, i.DeploymentID)
		alerts = append(alerts, views.Alert{
			Kind: "bad", Title: i.Name + " needs a look.", Text: i.Message, Href: "/instances/" + i.ID.String(), Action: "See the instance",
		})
	}
	return alerts
}

// waiting is a note for each deployment that is not as it should be.
func waiting(deployments []instance.Deployment) []views.Alert {
	var alerts []views.Alert
	for _, d := range deployments {
		switch d.Reason {
		case "", instance.ReasonReplicasStarting, instance.ReasonAsleep, instance.ReasonAwake:
			continue
		}
		if d.Stopped {
			continue
		}
		alerts = append(alerts, views.Alert{
			Kind: "busy", Title: d.Name + " is not as wanted.", Text: d.Message, Href: "/deployments/" + d.ID.String(), Action: "See the deployment",
		})
	}
	return alerts
}

// homeFigures reads the row of figures; billed instances cost money now.
func (p *Console) homeFigures(ctx context.Context, a auth.Actor, page *views.Home, billed int) error {
	if a.Can(auth.CostsView) {
		o, err := p.Finops.Overview(ctx, a)
		if err != nil {
			return err //nolint:wrapcheck // says enough
		}
		note := "nothing is billed"
		if billed > 0 {
			note = "for " + views.Plural(billed, "instance", "instances")
		}
		page.Figures = append(page.Figures,
			views.Figure{Label: "Running now", Value: views.Number(o.BurnRate), Unit: "€/h", Note: note},
			views.Figure{Label: "Month to date", Value: views.Number(o.MonthToDate), Unit: "€", Note: "about " + views.EUR(o.Forecast) + " by its end"},
		)
		page.Chart, err = p.costChart(ctx, a, o)
		if err != nil {
			return err
		}
	}
	if !page.May.Usage {
		return nil
	}
	perMinute, err := p.Gateway.RequestsPerMinute(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	now := time.Now()
	today, err := p.Gateway.Summary(ctx, a, now.Add(-24*time.Hour), now)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	records, err := p.Gateway.Records(ctx, a, gateway.RecordFilter{From: now.Add(-time.Hour), Limit: 500})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page.Figures = append(page.Figures,
		views.Figure{Label: "Requests", Value: views.Count(perMinute), Unit: "a minute", Note: views.Count(today.Requests) + " in 24 hours"},
		firstToken(records),
	)
	return nil
}

// firstToken says how long people waited for a first token, lately.
func firstToken(records []gateway.Record) views.Figure {
	var waits []time.Duration
	for _, r := range records {
		if r.FirstToken > 0 {
			waits = append(waits, r.FirstToken)
		}
	}
	if len(waits) == 0 {
		return views.Figure{Label: "First token", Value: "–", Note: "no request in the last hour"}
	}
	slices.Sort(waits)
	half, most := waits[len(waits)/2], waits[len(waits)*99/100]
	return views.Figure{
		Label: "First token", Value: views.Count(half.Milliseconds()), Unit: "ms",
		Note: "p99 " + views.Millis(most) + ", last " + views.Plural(len(waits), "request", "requests"),
	}
}

// costChart is the present month day by day, with what is still to come if
// what runs now goes on.
func (p *Console) costChart(ctx context.Context, a auth.Actor, o finops.Overview) (views.CostChart, error) {
	from, end := finops.Month(o.At)
	days, err := p.Finops.Days(ctx, a, from, o.At)
	if err != nil {
		return views.CostChart{}, err //nolint:wrapcheck // says enough
	}
	chart := views.CostChart{Caption: "Cost per day by model, " + from.Month().String()}
	// Beside a forecast that dwarfs it, what was spent would be invisible.
	var most money.EUR
	for _, d := range days {
		most = max(most, d.Total)
	}
	foresee := most > 0 && o.BurnRate.PerHour(24*time.Hour) < 20*most
	known := map[time.Time]finops.Day{}
	for _, d := range days {
		known[d.Date.UTC()] = d
	}
	for day := from; day.Before(end); day = day.AddDate(0, 0, 1) {
		d := costDay(day, known[day].ByModel)
		if next := day.AddDate(0, 0, 1); foresee && next.After(o.At) {
			d.Ahead = o.BurnRate.PerHour(next.Sub(latest(day, o.At)))
		}
		chart.Days = append(chart.Days, d)
	}
	return chart, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// costDay is a day of a chart, its parts in a fixed order.
func costDay(day time.Time, byModel map[string]money.EUR) views.CostDay {
	d := views.CostDay{Day: day}
	names := make([]string, 0, len(byModel))
	for name := range byModel {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		d.Parts = append(d.Parts, views.CostPart{Name: name, Cost: byModel[name]})
	}
	return d
}

// firstSteps is the checklist of a new organisation; it goes once all is done.
func (p *Console) firstSteps(ctx context.Context, a auth.Actor, page *views.Home, deployed bool) error {
	if !a.Can(auth.InstancesOperate) || !a.Can(auth.KeysOwn) {
		return nil
	}
	keys, err := p.Auth.ListKeys(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	used, err := p.Gateway.Records(ctx, a, gateway.RecordFilter{Limit: 1})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	if deployed && len(keys) > 0 && len(used) > 0 {
		return nil
	}
	page.Todo = []views.Task{
		{Done: true, Title: "Set up your account"},
		{
			Done: deployed, Title: "Have a model served", Href: "/deployments/new", Action: "Deploy a model",
			Text: "Choose a model and a machine that holds it; the rest is automatic. Or connect a server that runs already, under Endpoints.",
		},
		{Done: len(keys) > 0, Title: "Create an API key", Text: "Applications use it with the base URL of this platform.", Href: "/keys", Action: "Create a key"},
		{Done: len(used) > 0, Title: "See the first call", Text: "It shows up under Usage and cost within seconds.", Href: "/playground", Action: "Try a model"},
	}
	return nil
}
