package instance

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// checkOffers returns what the request's offers are, or says why one of them
// cannot serve the model and which could.
func (s *Service) checkOffers(ctx context.Context, model Model, r DeployRequest) ([]Offer, error) {
	if len(r.Offers) == 0 || len(r.Offers) > 20 {
		return nil, fault.New(fault.Invalid, "A deployment needs 1 to 20 offers, in order of preference.").
			WithFix("Name each as provider/zone/type.").WithField("offers")
	}
	known, err := s.catalog.Offers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the offers: %w", err)
	}
	var usable []Offer // what could serve this model here
	for _, o := range known {
		if _, ours := s.providers[o.Ref.Provider]; ours && fits(model, o) == "" {
			usable = append(usable, o)
		}
	}
	var chosen []Offer
	for _, text := range r.Offers {
		ref, ok := parseOffer(text)
		if !ok {
			return nil, unfit(fmt.Sprintf("%q does not name an offer as provider/zone/type.", text), text, usable)
		}
		i := slices.IndexFunc(known, func(o Offer) bool { return o.Ref == ref })
		if i < 0 {
			return nil, unfit(unknownOffer(ref, known), text, usable)
		}
		if _, ours := s.providers[ref.Provider]; !ours {
			return nil, unfit(fmt.Sprintf("The provider %s is not set up here.", ref.Provider), text, usable)
		}
		if why := fits(model, known[i]); why != "" {
			return nil, unfit(why, text, usable)
		}
		if slices.ContainsFunc(chosen, func(o Offer) bool { return o.Ref == ref }) {
			return nil, fault.Newf(fault.Invalid, "The offer %s is named twice.", ref).WithField("offers")
		}
		chosen = append(chosen, known[i])
	}
	if r.VolumeGB < 0 || r.VolumeGB > 10_000 || r.VolumeGB < model.VolumeGB/2 {
		return nil, fault.Newf(fault.Invalid, "A volume of %d GB does not hold %s: %d GB are recommended and half of that is the least.",
			r.VolumeGB, model.Name, model.VolumeGB).WithFix("Leave the size away to get what is recommended.").WithField("volume_gb")
	}
	return chosen, nil
}

// mockProvider is the cloud whose machines only pretend.
const mockProvider = "mock"

// fits says why the offer cannot serve the model; nothing when it can.
func fits(model Model, o Offer) string {
	if model.Simulated && o.Ref.Provider != mockProvider {
		return fmt.Sprintf("%s is simulated and runs on the mock cloud only; %s would be billed for nothing.", model.Name, o.Ref)
	}
	if o.VRAMGB < model.VRAMGB {
		return fmt.Sprintf("%s needs %d GB of GPU memory; %s has %d GB.", model.Name, model.VRAMGB, o.Ref, o.VRAMGB)
	}
	return ""
}

// unknownOffer says which part of ref nobody knows.
func unknownOffer(ref OfferRef, known []Offer) string {
	has := func(match func(OfferRef) bool) bool {
		return slices.ContainsFunc(known, func(o Offer) bool { return match(o.Ref) })
	}
	switch {
	case !has(func(o OfferRef) bool { return o.Provider == ref.Provider }):
		return fmt.Sprintf("There is no provider %s.", ref.Provider)
	case !has(func(o OfferRef) bool { return o.Provider == ref.Provider && o.Zone == ref.Zone }):
		return fmt.Sprintf("The provider %s has no zone %s.", ref.Provider, ref.Zone)
	case !has(func(o OfferRef) bool { return o.Provider == ref.Provider && o.Type == ref.Type }):
		return fmt.Sprintf("The provider %s has no server type %s.", ref.Provider, ref.Type)
	}
	return fmt.Sprintf("The type %s is not offered in zone %s.", ref.Type, ref.Zone)
}

// unfit is a refused offer with the three nearest that would do.
func unfit(why, wanted string, usable []Offer) error {
	f := fault.New(fault.Invalid, why).WithField("offers")
	if len(usable) == 0 {
		return f.WithFix("None of the offers of the providers set up here can serve the model; set up another provider or choose a smaller model.")
	}
	near := slices.Clone(usable)
	slices.SortStableFunc(near, func(a, b Offer) int {
		return cmp.Or(
			cmp.Compare(distance(wanted, a.Ref.String()), distance(wanted, b.Ref.String())),
			cmp.Compare(a.PricePerHour, b.PricePerHour),
			cmp.Compare(a.Ref.String(), b.Ref.String()))
	})
	names := make([]string, 0, 3)
	for _, o := range near[:min(3, len(near))] {
		names = append(names, o.Ref.String())
	}
	return f.WithFix("The nearest that would do: " + strings.Join(names, ", ") + ".")
}

// distance counts the letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	if len(a) > 200 {
		a = a[:200]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
