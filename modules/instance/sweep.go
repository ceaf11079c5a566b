package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

const sweepEvery = time.Minute

// sweepPass compares what the providers list with what we believe, both ways.
// What nobody wants is billed to whom it was made for and deleted once it is
// older than the grace; what we believe and is not listed is looked at by its
// id, because a listing proves nothing. A listing that failed changes nothing,
// and strays are only told of.
func (s *Service) sweepPass(ctx context.Context) (int, error) {
	var moved int
	var errs []error
	for code, p := range s.providers {
		n, err := s.alone(ctx, "sweep "+code, sweepEvery, func(ctx context.Context) (int, error) {
			return s.sweep(ctx, code, p)
		})
		moved += n
		errs = append(errs, err)
	}
	return moved, errors.Join(errs...)
}

func (s *Service) sweep(ctx context.Context, code string, p Provider) (int, error) {
	listed, err := p.List(ctx, Query{Installation: s.Installation()})
	if err != nil {
		return 0, fmt.Errorf("list what %s has of ours: %w", code, err)
	}
	now, err := s.q().Clock(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	owners, err := s.owners(ctx, listed)
	if err != nil {
		return 0, err
	}
	open, err := s.q().OpenResources(ctx, code)
	if err != nil {
		return 0, fmt.Errorf("read what is billed: %w", err)
	}
	believed := map[ResourceRef]uuid.UUID{}
	for _, r := range open {
		believed[ResourceRef{ResourceKind(r.Kind), r.Zone, r.ProviderID}] = r.ID
	}
	moved, strays := 0, 0
	var errs []error
	for _, r := range listed {
		owner, known := owners[r.Instance]
		_, believes := believed[r.Ref]
		delete(believed, r.Ref)
		if !known {
			strays++
			continue
		}
		if wanted(owner, r, believes) || now.Sub(r.CreatedAt) < s.timing.OrphanGrace {
			continue
		}
		s.log.WarnContext(ctx, "orphan at a provider", "provider", code, "kind", r.Ref.Kind, "id", r.Ref.ID, "instance", r.Instance)
		errs = append(errs, s.recordOrphan(ctx, code, r, owner))
		moved++
	}
	if strays > 0 {
		errs = append(errs, fmt.Errorf("%d resources at %s carry our tag and are of no instance that the database knows, as after the restore of "+
			"an older dump; they are left alone until somebody deletes them: see inventiv instances strays", strays, code))
	}
	errs = append(errs, s.deleteOrphans(ctx, code, p), s.lookAtMissing(ctx, open, believed))
	return moved, errors.Join(errs...)
}

// owners returns what is known of the instances that the tags name.
func (s *Service) owners(ctx context.Context, listed []ProviderResource) (map[uuid.UUID]instancedb.OwnersByIDRow, error) {
	ids := make([]uuid.UUID, 0, len(listed))
	for _, r := range listed {
		ids = append(ids, r.Instance)
	}
	rows, err := s.q().OwnersByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read the owners: %w", err)
	}
	owners := make(map[uuid.UUID]instancedb.OwnersByIDRow, len(rows))
	for _, o := range rows {
		owners[o.ID] = o
	}
	return owners, nil
}

// wanted reports whether something listed belongs to what its instance has or
// is about to have.
func wanted(owner instancedb.OwnersByIDRow, r ProviderResource, believed bool) bool {
	state := State(owner.State)
	if state.Gone() {
		return false
	}
	if owner.InDoubt {
		return true // its reconciler will know of it
	}
	if r.Ref.Kind == KindServer && owner.ProviderServerID != "" {
		return owner.ProviderServerID == r.Ref.ID
	}
	return believed
}

// recordOrphan writes down something nobody wants: it is billed from the
// provider's time of creation, to whom it was made for, until it is gone.
func (s *Service) recordOrphan(ctx context.Context, code string, r ProviderResource, owner instancedb.OwnersByIDRow) error {
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		row, err := q.OrphanOwner(ctx, owner.ID)
		if err != nil {
			return err
		}
		i := toInstance(row.InstanceInstance, "", "")
		i.Offer.Provider = code
		if _, err := q.SaveResource(ctx, resourceRow(i, r)); err != nil {
			return err
		}
		err = q.MarkOrphan(ctx, instancedb.MarkOrphanParams{
			Provider: code, Zone: r.Ref.Zone, ProviderID: r.Ref.ID, Lag: s.timing.OrphanGrace.Seconds(),
		})
		if err != nil {
			return err
		}
		return tellCharge(ctx, tx, owner.OrganisationID, owner.ID)
	})
	if err != nil {
		return fmt.Errorf("record an orphan: %w", err)
	}
	return nil
}

// deleteOrphans moves the deletion of every recorded orphan on, servers first.
// One that is in use by another goes on at the next sweep.
func (s *Service) deleteOrphans(ctx context.Context, code string, p Provider) error {
	orphans, err := s.q().Orphans(ctx, code)
	if err != nil {
		return fmt.Errorf("read the orphans: %w", err)
	}
	var errs []error
	for _, r := range orphans {
		gone, err := p.Delete(ctx, ResourceRef{Kind: ResourceKind(r.Kind), Zone: r.Zone, ID: r.ProviderID})
		switch {
		case KindOf(err) == KindNotFound:
			gone = Deletion{Gone: true}
		case KindOf(err) == KindTransient:
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("delete the orphan %s %s of %s: %w", r.Kind, r.ProviderID, code, err))
			continue
		}
		if !gone.Gone {
			continue
		}
		p := instancedb.EndResourceParams{ID: r.ID}
		if !gone.At.IsZero() {
			p.At = &gone.At
		}
		errs = append(errs, db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
			if _, err := instancedb.New(tx).EndResource(ctx, p); err != nil {
				return err
			}
			return tellCharge(ctx, tx, r.OrganisationID, r.InstanceID)
		}))
	}
	return errors.Join(errs...)
}

// lookAtMissing has the reconciler look, by id, at what is believed to exist
// and was not listed.
func (s *Service) lookAtMissing(ctx context.Context, open []instancedb.OpenResourcesRow, missing map[ResourceRef]uuid.UUID) error {
	var ids []uuid.UUID
	for _, r := range open {
		if _, ok := missing[ResourceRef{ResourceKind(r.Kind), r.Zone, r.ProviderID}]; ok && !State(r.State).Gone() {
			ids = append(ids, r.InstanceID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := s.q().WakeInstances(ctx, ids); err != nil {
		return fmt.Errorf("have missing resources looked at: %w", err)
	}
	s.reconcile.Wake()
	return nil
}
