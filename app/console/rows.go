package console

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// figures are what lists show beside each instance.
type figures struct {
	billed map[uuid.UUID]money.EUR // per hour, of what is open now
	known  bool                    // whether billed may be seen
	nodes  map[uuid.UUID]instance.Node
	stands func(uuid.UUID) (gateway.Standing, bool)
}

// figures reads prices and nodes, once for a whole list.
func (p *Console) figures(ctx context.Context, a auth.Actor) (figures, error) {
	f := figures{billed: map[uuid.UUID]money.EUR{}, nodes: map[uuid.UUID]instance.Node{}, known: a.Can(auth.CostsView), stands: p.Gateway.Standing}
	nodes, err := p.Instances.Nodes(ctx, a.Organisation)
	if err != nil {
		return f, err //nolint:wrapcheck // says enough
	}
	for _, n := range nodes {
		f.nodes[n.InstanceID] = n
	}
	if !f.known {
		return f, nil
	}
	now := time.Now()
	charges, err := p.Finops.Charges(ctx, a, now.Add(-time.Minute), now)
	for _, c := range open(charges) {
		f.billed[c.InstanceID] += c.PricePerHour
	}
	return f, err //nolint:wrapcheck // says enough
}

// open returns the charges that go on.
func open(charges []finops.Charge) []finops.Charge {
	return slices.DeleteFunc(slices.Clone(charges), func(c finops.Charge) bool { return !c.EndedAt.IsZero() })
}

// row turns an instance into a line of a list.
func (f figures) row(i instance.Instance) views.InstanceRow {
	r := views.InstanceRow{
		ID: i.ID.String(), Name: i.Name, Model: i.Model, State: string(i.State), Where: i.Offer.Type + " · " + i.Offer.Zone,
		Progress: i.Progress, Step: string(i.Step), Reason: i.Message, Cordoned: i.Eligibility == instance.Cordoned,
		GPU: -1, Since: i.StateSince, Deployment: i.Deployment,
		PerHour: i.PricePerHour, Billed: i.ServerID != "" && !i.State.Gone(),
	}
	if f.known {
		r.PerHour, r.Billed = f.billed[i.ID], f.billed[i.ID] > 0
	}
	if s, ok := f.stands(i.ID); ok {
		r.Quiet = s.Why()
	}
	n, ok := f.nodes[i.ID]
	if !ok || n.Heartbeat == nil {
		return r
	}
	if i.State == instance.Ready && i.Connectivity != instance.Online && n.HeartbeatAt != nil {
		r.Quiet = "not heard from for " + views.Took(time.Since(*n.HeartbeatAt))
	}
	if g := n.Heartbeat.Gauges; g != nil && g.Running != nil {
		r.Running = int(*g.Running)
	}
	var sum float64
	var measured int
	for _, g := range n.Heartbeat.GPUs {
		if g.Utilisation != nil {
			sum += *g.Utilisation / 100
			measured++
		}
	}
	if measured > 0 {
		r.GPU = sum / float64(measured)
	}
	return r
}

// maxSparks bounds how many lines of a list get a chart of their own.
const maxSparks = 24

// withSparks adds the last hour's tokens per second to the rows that serve.
func (p *Console) withSparks(ctx context.Context, organisation uuid.UUID, rows []views.InstanceRow) error {
	drawn := 0
	for i := range rows {
		if rows[i].State != string(instance.Ready) || drawn == maxSparks {
			continue
		}
		drawn++
		samples, err := p.samples(ctx, organisation, uuid.MustParse(rows[i].ID))
		if err != nil {
			return err
		}
		rows[i].Tokens = tokensPerSecond(samples)
	}
	return nil
}

func (p *Console) samples(ctx context.Context, organisation, id uuid.UUID) ([]instance.Sample, error) {
	return p.Instances.Samples(ctx, organisation, id, time.Now().Add(-time.Hour)) //nolint:wrapcheck // says enough
}

// points is how many a small chart has: one a minute.
const points = 60

// tokensPerSecond is how fast an engine generated, minute by minute. A count
// that falls is an engine that was started anew.
func tokensPerSecond(samples []instance.Sample) []float64 {
	var last *instance.Sample
	rate := make([]float64, 0, len(samples))
	at := make([]time.Time, 0, len(samples))
	for i, s := range samples {
		if s.Tokens == nil {
			continue
		}
		if last != nil {
			if span := s.At.Sub(last.At).Seconds(); span > 0 {
				rate = append(rate, float64(max(0, *s.Tokens-*last.Tokens))/span)
				at = append(at, s.At)
			}
		}
		last = &samples[i]
	}
	return thin(at, rate)
}

// shares turns one measure of the samples into percents.
func shares(samples []instance.Sample, measure func(instance.Sample) *float32) []float64 {
	return series(samples, func(s instance.Sample) (float64, bool) {
		if v := measure(s); v != nil {
			return float64(*v) * 100, true
		}
		return 0, false
	})
}

// series reads one measure of the samples that have it.
func series(samples []instance.Sample, measure func(instance.Sample) (float64, bool)) []float64 {
	values := make([]float64, 0, len(samples))
	at := make([]time.Time, 0, len(samples))
	for _, s := range samples {
		if v, ok := measure(s); ok {
			values, at = append(values, v), append(at, s.At)
		}
	}
	return thin(at, values)
}

// thin averages values by the minute, when there are more than a chart shows.
func thin(at []time.Time, values []float64) []float64 {
	if len(values) <= points {
		return values
	}
	var out []float64
	var sum float64
	n := 0
	for i, v := range values {
		sum += v
		n++
		if i == len(values)-1 || !at[i+1].Truncate(time.Minute).Equal(at[i].Truncate(time.Minute)) {
			out = append(out, sum/float64(n))
			sum, n = 0, 0
		}
	}
	return out
}

// percent writes the newest value of a series.
func percent(values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	return strconv.Itoa(int(values[len(values)-1]+0.5)) + "%"
}
