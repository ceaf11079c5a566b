package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// period is what a page of usage is about.
type period struct {
	code, words string
	from, to    time.Time
}

// periodOf reads the choice of a period; another word means the month.
func periodOf(code string, now time.Time) period {
	now = now.UTC()
	month, _ := finops.Month(now)
	switch code {
	case "24h":
		return period{code, "in the last 24 hours", now.Add(-24 * time.Hour), now}
	case "7d":
		return period{code, "in the last 7 days", now.AddDate(0, 0, -7), now}
	case "last":
		return period{code, "last month", month.AddDate(0, -1, 0), month}
	}
	return period{"month", "this month", month, now}
}

// shownRecords is how many of the latest requests the page lists.
const shownRecords = 5

// shownCharges is how many charges it lists, the dearest ones.
const shownCharges = 15

// getUsage serves GET /usage.
func (p *Console) getUsage(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	span := periodOf(c.QueryParam("period"), time.Now())
	page := views.Usage{Period: span.code, Words: span.words, By: c.QueryParam("by"), May: allowed(a)}
	if !slices.Contains([]string{"key", "instance"}, page.By) {
		page.By = "model"
	}
	names, err := p.names(ctx, a)
	if err != nil {
		return err
	}
	if page.Rows, err = p.usageRows(ctx, a, page.By, span, names); err != nil {
		return err
	}
	sum, err := p.Gateway.Summary(ctx, a, span.from, span.to)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page.Totals = usageRow("", "", sum.Usage)
	if page.May.Costs {
		if err := p.fillCosts(ctx, a, span, &page); err != nil {
			return err
		}
	}
	note := "all answered in full"
	switch {
	case sum.Requests == 0:
		note = ""
	case sum.Interrupted > 0:
		note = views.Count(sum.Interrupted) + " interrupted"
	}
	page.Figures = append(page.Figures,
		views.Figure{Label: "Requests", Value: views.Count(sum.Requests), Note: note},
		views.Figure{Label: "Tokens", Value: views.Tokens(sum.PromptTokens + sum.CompletionTokens), Note: views.Tokens(sum.PromptTokens) + " in, " + views.Tokens(sum.CompletionTokens) + " out"},
	)
	records, err := p.Gateway.Records(ctx, a, gateway.RecordFilter{From: span.from, To: span.to, Limit: shownRecords})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	for _, r := range records {
		page.Records = append(page.Records, recordRow(r, names))
	}
	return p.show(c, http.StatusOK, "/usage", page)
}

// fillCosts adds what providers charge.
func (p *Console) fillCosts(ctx context.Context, a auth.Actor, span period, page *views.Usage) error {
	o, err := p.Finops.Overview(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	until := span.to
	if until.After(o.At) {
		until = o.At
	}
	charges, err := p.Finops.Charges(ctx, a, span.from, until)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	kinds := map[string]money.EUR{}
	for _, charge := range charges {
		amount := max(0, charge.Between(span.from, until))
		page.Spent += amount
		kinds[charge.Kind] += amount
		page.Charges = append(page.Charges, views.ChargeRow{
			Instance: charge.Instance, What: charge.Description, Model: charge.Model, Where: charge.Provider + ", " + charge.Zone,
			From: charge.StartedAt, To: charge.EndedAt, PerHour: charge.PricePerHour, Amount: amount,
		})
	}
	slices.SortStableFunc(page.Charges, func(x, y views.ChargeRow) int { return cmp.Compare(y.Amount, x.Amount) })
	page.AllCharges = len(page.Charges)
	page.Charges = page.Charges[:min(shownCharges, page.AllCharges)]
	for _, k := range []views.Choice{{ID: "server", Name: "Servers"}, {ID: "volume", Name: "Volumes"}, {ID: "address", Name: "Addresses"}} {
		if v, ok := kinds[k.ID]; ok {
			page.Kinds = append(page.Kinds, views.Cost{What: k.Name, Amount: v})
		}
	}
	page.Figures = append(page.Figures,
		views.Figure{Label: "Running now", Value: views.Number(o.BurnRate), Unit: "€/h"},
		views.Figure{Label: "By the end of the month", Value: views.Number(o.Forecast), Unit: "€", Note: "if what runs now goes on"},
	)
	if tokens := page.Totals.Input + page.Totals.Output; tokens >= 100_000 { // below, the figure says nothing yet
		page.Figures = append(page.Figures, views.Figure{
			Label: "A million tokens", Value: views.Number(perMillion(page.Spent, tokens)), Unit: "€", Note: "machines, divided by all tokens",
		})
	}
	if span.code == "month" {
		page.Chart, err = p.costChart(ctx, a, o)
		return err
	}
	days, err := p.Finops.Days(ctx, a, span.from.Truncate(24*time.Hour), until)
	page.Chart.Caption = "Cost per day by model"
	for _, d := range days {
		page.Chart.Days = append(page.Chart.Days, costDay(d.Date.UTC(), d.ByModel))
	}
	return err //nolint:wrapcheck // says enough
}

// perMillion spreads an amount over tokens, as EUR per million of them.
func perMillion(e money.EUR, tokens int64) money.EUR {
	whole, rest := e/money.EUR(tokens), e%money.EUR(tokens)
	return whole*1_000_000 + money.EUR(int64(rest)*1_000_000/tokens)
}

// names says what ids stand for.
type names struct {
	keys              map[uuid.UUID]auth.KeyName
	people, upstreams map[uuid.UUID]string
}

func (p *Console) names(ctx context.Context, a auth.Actor) (n names, err error) {
	n = names{people: map[uuid.UUID]string{a.UserID: a.Name}, upstreams: map[uuid.UUID]string{}}
	if n.keys, err = p.Auth.KeyNames(ctx, a); err != nil {
		return n, err //nolint:wrapcheck // says enough
	}
	if a.Can(auth.MembersView) {
		members, err := p.Auth.Members(ctx, a)
		if err != nil {
			return n, err //nolint:wrapcheck // says enough
		}
		for _, m := range members {
			n.people[m.UserID] = m.Email
		}
	}
	instances, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{Archived: true})
	if err != nil {
		return n, err //nolint:wrapcheck // says enough
	}
	for _, i := range instances {
		n.upstreams[i.ID] = i.Name
	}
	if a.Can(auth.EndpointsView) {
		endpoints, err := p.Gateway.Endpoints(ctx, a)
		if err != nil {
			return n, err //nolint:wrapcheck // says enough
		}
		for _, e := range endpoints {
			n.upstreams[e.ID] = e.Name
		}
	}
	return n, nil
}

// key names who made a request.
func (n names) key(key, user uuid.UUID) (name, sub string) {
	if key == uuid.Nil {
		return "Playground", n.people[user]
	}
	k := n.keys[key]
	// A key outlives its owner's membership. One without a name was made while
	// the page was.
	return cmp.Or(k.Name, "a new API key"), cmp.Or(n.people[user], k.Owner)
}

func (n names) upstream(id uuid.UUID, endpoint bool) string {
	if name := n.upstreams[id]; name != "" {
		return name
	}
	if endpoint {
		return "an endpoint that is gone"
	}
	return "an instance that is gone"
}

func usageRow(name, sub string, u gateway.Usage) views.UsageRow {
	return views.UsageRow{Name: name, Sub: sub, Requests: u.Requests, Input: u.PromptTokens, Output: u.CompletionTokens, Value: u.Cost}
}

// usageRows splits usage by model, key or upstream, the dearest first.
func (p *Console) usageRows(ctx context.Context, a auth.Actor, by string, span period, n names) ([]views.UsageRow, error) {
	var rows []views.UsageRow
	switch by {
	case "key":
		all, err := p.Gateway.UsageByKey(ctx, a, span.from, span.to)
		for _, u := range all {
			name, sub := n.key(u.KeyID, u.UserID)
			rows = append(rows, usageRow(name, sub, u.Usage))
		}
		return rows, err //nolint:wrapcheck // says enough
	case "instance":
		all, err := p.Gateway.UsageByUpstream(ctx, a, span.from, span.to)
		for _, u := range all {
			rows = append(rows, usageRow(n.upstream(u.ID, u.Endpoint), "", u.Usage))
		}
		return rows, err //nolint:wrapcheck // says enough
	}
	days, err := p.Gateway.UsageByDay(ctx, a, span.from, span.to)
	sums := map[string]gateway.Usage{}
	for _, d := range days {
		s := sums[d.Model]
		s.Requests += d.Requests
		s.PromptTokens += d.PromptTokens
		s.CompletionTokens += d.CompletionTokens
		s.Cost += d.Cost
		sums[d.Model] = s
	}
	for model, u := range sums {
		rows = append(rows, usageRow(model, "", u))
	}
	slices.SortFunc(rows, dearest)
	return rows, err //nolint:wrapcheck // says enough
}
