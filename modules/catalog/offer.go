package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog/internal/catalogdb"
)

// Stock is how many machines of an offer there are, as far as its provider tells.
type Stock string

// The stocks.
const (
	Available Stock = "available"
	Scarce    Stock = "scarce"
	Out       Stock = "out"
	Unknown   Stock = "unknown"
)

// mock is the provider whose machines only pretend.
const mock = "mock"

// Offer is a machine type in a zone of a provider, with its price.
type Offer struct {
	Provider, Zone, Type string
	ZoneTitle, Region    string
	PricePerHour         money.EUR // taxes, volumes and addresses excluded
	Stock                Stock
	Active               bool      // may be chosen for new deployments
	CheckedAt            time.Time // when the provider told price and stock; 1970 when it never has
	GPU                  string
	GPUCount             int
	GPUVRAMGB            int // of one GPU
	CPUCount             int
	RAMGB                int
	BandwidthMbps        int
}

// Ref returns provider/zone/type, by which deployments name an offer.
func (o Offer) Ref() string { return o.Provider + "/" + o.Zone + "/" + o.Type }

// VRAMGB returns the memory of all its GPUs.
func (o Offer) VRAMGB() int { return o.GPUCount * o.GPUVRAMGB }

// Misfit returns why the model cannot run on the offer, in a sentence, or
// nothing when it can. Stock does not matter: it comes back.
func (m Model) Misfit(o Offer) string {
	switch {
	case !m.Active:
		return fmt.Sprintf("%s is not offered for new deployments.", m.Name)
	case !o.Active:
		return fmt.Sprintf("%s is not offered for new deployments.", o.Ref())
	case m.Simulated && o.Provider != mock:
		return fmt.Sprintf("%s is simulated and runs on the mock provider only.", m.Name)
	case !m.Simulated && o.Provider == mock:
		return fmt.Sprintf("%s needs a real GPU, and the mock provider has none.", m.Name)
	case !m.Simulated && m.RequiredVRAMGB == 0:
		return fmt.Sprintf("It is not known how much GPU memory %s needs.", m.Name)
	case m.RequiredVRAMGB > o.VRAMGB():
		return fmt.Sprintf("%s needs %d GB of GPU memory, and %s has %d GB.", m.Name, m.RequiredVRAMGB, o.Type, o.VRAMGB())
	}
	return ""
}

// Offers returns every offer, by provider and price.
func (s *Service) Offers(ctx context.Context) ([]Offer, error) {
	rows, err := s.q().Offers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read offers: %w", err)
	}
	offers := make([]Offer, len(rows))
	for i, r := range rows {
		offers[i] = Offer{
			Provider: r.Provider, Zone: r.Zone, Type: r.Type, ZoneTitle: r.ZoneTitle, Region: r.Region,
			PricePerHour: r.PricePerHour, Stock: Stock(r.Stock), Active: r.Active, CheckedAt: r.CheckedAt,
			GPU: r.Gpu, GPUCount: int(r.GpuCount), GPUVRAMGB: int(r.GpuVramGb), CPUCount: int(r.CpuCount),
			RAMGB: int(r.RamGb), BandwidthMbps: int(r.BandwidthMbps),
		}
	}
	return offers, nil
}

// OffersFor returns the offers on which the model can run, cheapest first.
func (s *Service) OffersFor(ctx context.Context, m Model) ([]Offer, error) {
	offers, err := s.Offers(ctx)
	if err != nil {
		return nil, err
	}
	return fitting(m, offers), nil
}

func fitting(m Model, offers []Offer) []Offer {
	fit := slices.DeleteFunc(slices.Clone(offers), func(o Offer) bool { return m.Misfit(o) != "" })
	slices.SortStableFunc(fit, func(a, b Offer) int { return cmp.Compare(a.PricePerHour, b.PricePerHour) })
	return fit
}

// Select resolves what a deployment asks for: a model by id or name and offers
// as provider/zone/type, in order. It fails with fault.Invalid, one for each
// offer that does not exist or on which the model cannot run, joined; each says
// what is needed and names up to three nearest offers that would do.
func (s *Service) Select(ctx context.Context, organisation uuid.UUID, model string, refs []string) (Model, []Offer, error) {
	m, err := s.Model(ctx, organisation, model)
	if f := fault.As(err); f != nil && f.Code == fault.NotFound {
		invalid := *f
		invalid.Code = fault.Invalid // a field of the request, not its address
		return Model{}, nil, &invalid
	}
	if err != nil {
		return Model{}, nil, err
	}
	all, err := s.Offers(ctx)
	if err != nil {
		return Model{}, nil, err
	}
	if len(refs) == 0 {
		return Model{}, nil, fault.New(fault.Invalid, "At least one offer is needed, as provider/zone/type.").WithField("offers").
			WithFix(suggest("", fitting(m, all)))
	}
	chosen, err := choose(m, refs, all)
	return m, chosen, err
}

func choose(m Model, refs []string, all []Offer) ([]Offer, error) {
	var chosen []Offer
	var refused faults
	for i, ref := range refs {
		field := fmt.Sprintf("offers.%d", i)
		at := slices.IndexFunc(all, func(o Offer) bool { return o.Ref() == ref })
		if at < 0 {
			refused = append(refused, fault.Newf(fault.Invalid, "There is no offer %q.", short(ref)).
				WithKind("unknown_offer").WithField(field).WithFix(suggest(ref, fitting(m, all))))
			continue
		}
		if why := m.Misfit(all[at]); why != "" {
			refused = append(refused, fault.New(fault.Invalid, why).
				WithKind("model_does_not_fit").WithField(field).WithFix(suggest(ref, fitting(m, all))))
			continue
		}
		chosen = append(chosen, all[at])
	}
	if len(refused) > 0 {
		return nil, refused
	}
	return chosen, nil
}

// faults are several faults of one request.
type faults []*fault.Error

// Error returns the sentences, joined.
func (f faults) Error() string {
	texts := make([]string, len(f))
	for i, e := range f {
		texts[i] = e.Error()
	}
	return strings.Join(texts, " ")
}

// Unwrap returns each of them.
func (f faults) Unwrap() []error {
	errs := make([]error, len(f))
	for i, e := range f {
		errs[i] = e
	}
	return errs
}

// suggest names the three offers nearest to ref, or the cheapest ones.
func suggest(ref string, fit []Offer) string {
	if len(fit) == 0 {
		return "No offer of this installation is big enough for this model."
	}
	refs := make([]string, len(fit))
	for i, o := range fit {
		refs[i] = o.Ref()
	}
	return "Choose for example " + strings.Join(nearest(ref, refs), ", ") + "."
}

// UpsertOffers writes what a provider says of price and stock now; an offer of
// a zone or type that the catalogue does not know is left out. It reports how
// many were written.
func (s *Service) UpsertOffers(ctx context.Context, offers []Offer) (int, error) {
	var p catalogdb.RefreshOffersParams
	for _, o := range offers {
		p.Providers = append(p.Providers, o.Provider)
		p.Zones = append(p.Zones, o.Zone)
		p.Types = append(p.Types, o.Type)
		p.Prices = append(p.Prices, o.PricePerHour)
		p.Stocks = append(p.Stocks, string(o.Stock))
	}
	n, err := s.q().RefreshOffers(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("refresh offers: %w", err)
	}
	return int(n), nil
}
