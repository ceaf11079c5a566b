package console

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getInstance serves GET /instances/:ref, and its regions one by one: the log
// is asked for alone, since it comes from the node itself.
func (p *Console) getInstance(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	d, err := p.Instances.Instance(ctx, a.Organisation, c.Param("ref"))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	page := views.Instance{Row: views.InstanceRow{ID: d.ID.String(), Name: d.Name}, May: allowed(a)}
	fragment := c.QueryParam("fragment")
	if fragment != "instance" {
		page.Log = p.tail(ctx, a, d, c.QueryParam("log"))
	}
	if fragment != "log" {
		if err := p.fillInstance(ctx, a, d, &page); err != nil {
			return err
		}
	}
	return p.show(c, http.StatusOK, "/instances", page)
}

func (p *Console) fillInstance(ctx context.Context, a auth.Actor, d instance.Detail, page *views.Instance) error {
	f, err := p.figures(ctx, a)
	if err != nil {
		return err
	}
	page.Row = f.row(d.Instance)
	page.Connected, page.Deployment, page.DeployedID = string(d.Connectivity), d.Deployment, d.DeploymentID.String()
	page.Generation, page.Started = d.Generation, began(d)
	if d.ReadyAt != nil && d.State == instance.Ready {
		page.Ready = readySince(d)
	}
	page.Steps = timeline(d)
	page.Left = estimate(page.Steps, d.Usual, time.Now())
	page.Wait = waits(d)
	page.Facts = facts(d)
	page.Actions = actions(d.Instance)
	for _, t := range slices.Backward(d.Transitions) {
		page.History = append(page.History, views.Change{At: t.At, State: string(t.To), Reason: string(t.Reason), Text: t.Message})
	}
	samples, err := p.samples(ctx, a.Organisation, d.ID)
	if err != nil {
		return err
	}
	page.Row.Tokens = tokensPerSecond(samples)
	page.Gauges = gauges(page.Row, samples)
	if !a.Can(auth.CostsView) {
		return nil
	}
	return p.instanceCosts(ctx, a, d, page)
}

// instanceCosts lists what is billed for an instance, from its charges.
func (p *Console) instanceCosts(ctx context.Context, a auth.Actor, d instance.Detail, page *views.Instance) error {
	now := time.Now()
	charges, err := p.Finops.Charges(ctx, a, d.CreatedAt.Add(-time.Hour), now.Add(time.Second))
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	var perHour money.EUR
	for _, charge := range charges {
		if charge.InstanceID != d.ID {
			continue
		}
		amount := max(0, charge.Upto(now))
		page.Costs = append(page.Costs, views.Cost{
			What: charge.Description, Amount: amount, PerHour: charge.PricePerHour, Ended: !charge.EndedAt.IsZero(),
		})
		page.CostSoFar += amount
		if charge.EndedAt.IsZero() {
			perHour += charge.PricePerHour
		}
	}
	page.PerMonth = perHour.PerHour(monthly)
	return nil
}

// began is when the present generation of an instance was begun.
func began(d instance.Detail) time.Time {
	first := d.CreatedAt
	if d.Generation == 1 {
		return first
	}
	for _, s := range d.Steps {
		if s.Generation == d.Generation && (first.Equal(d.CreatedAt) || s.StartedAt.Before(first)) {
			first = s.StartedAt
		}
	}
	return first
}

// readySince is when it last became ready.
func readySince(d instance.Detail) time.Time {
	for _, t := range slices.Backward(d.Transitions) {
		if t.To == instance.Ready {
			return t.At
		}
	}
	return *d.ReadyAt
}

// timeline lists every step with what is known of it: of this generation, and
// of an earlier one for what was not done again.
func timeline(d instance.Detail) []views.Step {
	newest := map[instance.Step]instance.StepRecord{}
	for _, s := range d.Steps {
		if known, ok := newest[s.Step]; !ok || s.Generation >= known.Generation {
			newest[s.Step] = s
		}
	}
	all := instance.Steps()
	list := make([]views.Step, len(all))
	for i, code := range all {
		s := views.Step{Code: string(code), State: "todo"}
		r, ok := newest[code]
		switch {
		case !ok || r.Generation < d.Generation && code.Progress() > d.Progress:
		case r.Failed:
			s.State, s.Detail = "failed", r.Detail
		case r.EndedAt == nil && d.State.Rising():
			s.State, s.Detail, s.Started = "now", r.Detail, r.StartedAt
		case r.EndedAt != nil:
			s.State, s.Detail = "done", r.Detail
		}
		if s.State != "done" && s.Detail == d.Message {
			s.Detail = "" // the note above the steps says it
		}
		if ok && r.EndedAt != nil {
			s.Took = r.EndedAt.Sub(r.StartedAt)
		}
		list[i] = s
	}
	return list
}

// waits is the note that says why an instance is not serving.
func waits(d instance.Detail) views.Alert {
	a := views.Alert{Kind: "busy", Text: d.Message}
	switch {
	case d.Flag != "":
		a.Kind, a.Title, a.Text = "bad", "Somebody has to look at this.", d.Flag.Sentence()
	case d.State.Failure():
		a.Kind = "bad"
	case d.State == instance.Ready && d.Connectivity == instance.Online, d.State.Gone():
		return views.Alert{}
	}
	if a.Text == "" && d.State != instance.Ready {
		a.Text = d.State.Sentence()
	}
	if d.Deadline != nil && d.State.Rising() && a.Text != "" {
		a.Until = *d.Deadline
	}
	return a
}

func facts(d instance.Detail) []views.Fact {
	list := []views.Fact{
		{Name: "Provider", Value: d.Offer.Provider + ", " + d.Offer.Zone},
		{Name: "Type", Value: d.Offer.Type},
	}
	if d.VolumeGB > 0 {
		list = append(list, views.Fact{Name: "Volume", Value: strconv.Itoa(d.VolumeGB) + " GB"})
	}
	if d.Address != "" {
		list = append(list, views.Fact{Name: "Address", Value: d.Address, Mono: true})
	}
	if d.Generation > 1 {
		list = append(list, views.Fact{Name: "Installed", Value: views.Count(d.Generation) + " times"})
	}
	if n := d.Node; n != nil {
		if hb := n.Heartbeat; hb != nil {
			for _, g := range hb.GPUs {
				value := g.Name
				if g.MemoryTotal != nil {
					value += fmt.Sprintf(", %s MiB", views.Count(*g.MemoryTotal>>20))
				}
				list = append(list, views.Fact{Name: "GPU " + strconv.Itoa(g.Index), Value: value})
			}
			list = append(list, views.Fact{Name: "Engine", Value: string(hb.Engine.State)})
		}
		if n.AgentVersion != "" {
			list = append(list, views.Fact{Name: "Agent", Value: n.AgentVersion})
		}
		if n.HeartbeatAt != nil {
			list = append(list, views.Fact{Name: "Heard from", At: *n.HeartbeatAt})
		}
		if n.CertificateUntil != nil {
			list = append(list, views.Fact{Name: "Certificate until", Value: n.CertificateUntil.UTC().Format("2 Jan, 15:04 UTC")})
		}
	}
	return append(list, views.Fact{Name: "Created", At: d.CreatedAt})
}

func gauges(r views.InstanceRow, samples []instance.Sample) []views.GaugeRow {
	var list []views.GaugeRow
	if len(r.Tokens) > 0 {
		list = append(list, views.GaugeRow{Name: "Tokens per second", Value: views.Count(int64(r.Tokens[len(r.Tokens)-1] + 0.5)), Values: r.Tokens})
	}
	running := series(samples, func(s instance.Sample) (float64, bool) {
		if s.Running == nil {
			return 0, false
		}
		return float64(*s.Running), true
	})
	if len(running) > 0 {
		list = append(list, views.GaugeRow{Name: "Requests in progress", Value: strconv.Itoa(r.Running), Values: running})
	}
	for _, g := range []struct {
		name    string
		measure func(instance.Sample) *float32
	}{
		{"KV cache", func(s instance.Sample) *float32 { return s.KVCache }},
		{"GPU", func(s instance.Sample) *float32 { return s.GPU }},
		{"GPU memory", func(s instance.Sample) *float32 { return s.GPUMemory }},
		{"CPU", func(s instance.Sample) *float32 { return s.CPU }},
		{"Memory", func(s instance.Sample) *float32 { return s.Memory }},
	} {
		if values := shares(samples, g.measure); len(values) > 0 {
			list = append(list, views.GaugeRow{Name: g.name, Value: percent(values), Values: values, Top: 100})
		}
	}
	return list
}
