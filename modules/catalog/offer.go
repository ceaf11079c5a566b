package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

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
	fit := slices.DeleteFunc(offers, func(o Offer) bool { return m.Misfit(o) != "" })
	slices.SortStableFunc(fit, func(a, b Offer) int { return cmp.Compare(a.PricePerHour, b.PricePerHour) })
	return fit, nil
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
