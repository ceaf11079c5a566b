package instance

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// Stray is something that a provider bills under our tag, of an instance that
// the database does not know. Instances are never forgotten and are recorded
// before a server is asked for, so the database is older than the machine, as
// after the restore of a dump, or is a copy whose original still uses it. The
// sweep leaves strays alone: a person says what becomes of them.
type Stray struct {
	ProviderResource

	Provider string
}

// Strays asks every provider of this process for what is there and unknown,
// machine by machine. It needs platform.operate and fails with
// fault.Unavailable when a provider does not answer.
func (s *Service) Strays(ctx context.Context, actor auth.Actor) ([]Stray, error) {
	if err := auth.Need(actor, auth.PlatformOperate); err != nil {
		return nil, err
	}
	var strays []Stray
	for code, p := range s.providers {
		asking, cancel := context.WithTimeout(ctx, s.timing.Step)
		listed, err := p.List(asking, Query{Installation: s.Installation()})
		cancel()
		if err != nil {
			return nil, fault.Newf(fault.Unavailable, "The provider %s does not say what it has: %s", code, sentenceOf(err, ReasonProviderAway)).WithCause(err)
		}
		owners, err := s.owners(ctx, listed)
		if err != nil {
			return nil, err
		}
		for _, r := range listed {
			if _, known := owners[r.Instance]; !known {
				strays = append(strays, Stray{r, code})
			}
		}
	}
	slices.SortFunc(strays, func(a, b Stray) int {
		return cmp.Or(
			cmp.Compare(a.Provider, b.Provider), slices.Compare(a.Instance[:], b.Instance[:]),
			order(string(a.Ref.Kind))-order(string(b.Ref.Kind)), cmp.Compare(a.Ref.ID, b.Ref.ID))
	})
	return strays, nil
}

// DeleteStray moves the deletion of everything that carries the tag of an
// unknown instance on, servers first, and returns what is still there; it is
// repeated until that is nothing. It needs platform.operate, audits, and fails
// with fault.NotFound for an instance that is known or has no strays.
func (s *Service) DeleteStray(ctx context.Context, actor auth.Actor, id uuid.UUID) ([]Stray, error) {
	strays, err := s.Strays(ctx, actor)
	if err != nil {
		return nil, err
	}
	strays = slices.DeleteFunc(strays, func(x Stray) bool { return x.Instance != id })
	if len(strays) == 0 {
		return nil, fault.New(fault.NotFound, "No provider has anything of such an instance, or the instance is known here.").
			WithFix("List the strays to see their ids; a known instance is terminated.")
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		return auth.Audit(ctx, tx, actor, "stray.delete", id.String(), map[string]any{"resources": len(strays)})
	})
	if err != nil {
		return nil, fmt.Errorf("record the deletion of strays: %w", err)
	}
	var left []Stray
	for _, x := range strays {
		gone, err := s.providers[x.Provider].Delete(ctx, x.Ref)
		switch kind := KindOf(err); {
		case kind == KindNotFound || err == nil && gone.Gone:
		case kind == KindTransient || err == nil: // a volume is in use until its server is gone
			left = append(left, x)
		default:
			return left, fault.Newf(fault.Unavailable, "The provider %s did not delete the %s %s: %s",
				x.Provider, x.Ref.Kind, x.Ref.ID, sentenceOf(err, ReasonProviderAway)).WithCause(err)
		}
	}
	return left, nil
}
