package instance

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// Scale sets how many replicas a deployment keeps and, unless idle is nil, after
// how many minutes without a request it sleeps if it may have none; 0 is never. It fails
// with fault.Invalid for numbers that cannot be kept and fault.NotFound for a
// deployment that the organisation does not have.
func (s *Service) Scale(ctx context.Context, actor auth.Actor, ref string, low, high int, idle *int) (Deployment, error) {
	if err := checkReplicas(low, high); err != nil {
		return Deployment{}, err
	}
	if err := checkIdle(idle); err != nil {
		return Deployment{}, err
	}
	return s.change(ctx, actor, ref, "deployment.scale", func(p *instancedb.ChangeDeploymentParams) {
		p.MinReplicas, p.MaxReplicas = int32(low), int32(high)
		if idle != nil {
			p.IdleMinutes = int32(*idle)
		}
	})
}

// StopDeployment ends all replicas, after their running requests, and keeps the
// deployment. It may be repeated.
func (s *Service) StopDeployment(ctx context.Context, actor auth.Actor, ref string) (Deployment, error) {
	return s.change(ctx, actor, ref, "deployment.stop", func(p *instancedb.ChangeDeploymentParams) { p.Stopped = true })
}

// StartDeployment lets a stopped deployment have its replicas again, wakes one
// that sleeps, and has one whose replicas failed try again at once. It may be
// repeated.
func (s *Service) StartDeployment(ctx context.Context, actor auth.Actor, ref string) (Deployment, error) {
	return s.change(ctx, actor, ref, "deployment.start", func(p *instancedb.ChangeDeploymentParams) {
		p.Stopped, p.Started = false, true
	})
}

func (s *Service) change(
	ctx context.Context, actor auth.Actor, ref, action string, edit func(*instancedb.ChangeDeploymentParams),
) (Deployment, error) {
	err := s.withDeployment(ctx, actor, ref, func(tx pgx.Tx, q *instancedb.Queries, d instancedb.InstanceDeployment) error {
		p := instancedb.ChangeDeploymentParams{
			ID: d.ID, OrganisationID: actor.Organisation,
			MinReplicas: d.MinReplicas, MaxReplicas: d.MaxReplicas, IdleMinutes: d.IdleMinutes, Stopped: d.Stopped,
		}
		edit(&p)
		if err := q.ChangeDeployment(ctx, p); err != nil {
			return err
		}
		return auth.Audit(ctx, tx, actor, action, d.Name, map[string]any{"min": p.MinReplicas, "max": p.MaxReplicas, "idle_minutes": p.IdleMinutes})
	})
	if err != nil {
		return Deployment{}, err
	}
	return s.Deployment(ctx, actor.Organisation, ref)
}

// DeleteDeployment ends all replicas at once and forgets the deployment. What
// its instances have cost stays on record.
func (s *Service) DeleteDeployment(ctx context.Context, actor auth.Actor, ref string) error {
	return s.withDeployment(ctx, actor, ref, func(tx pgx.Tx, q *instancedb.Queries, d instancedb.InstanceDeployment) error {
		replicas, err := q.Replicas(ctx, d.ID)
		if err != nil {
			return err
		}
		for _, r := range replicas {
			if State(r.State) == Terminating {
				continue
			}
			if err := want(ctx, tx, actor.Organisation, r.ID, WantTerminated, ReasonDeploymentDeleted); err != nil {
				return err
			}
		}
		if err := q.DeleteDeployment(ctx, instancedb.DeleteDeploymentParams{ID: d.ID, OrganisationID: actor.Organisation}); err != nil {
			return err
		}
		return auth.Audit(ctx, tx, actor, "deployment.delete", d.Name, map[string]any{"instances": len(replicas)})
	})
}

// withDeployment runs fn with the deployment locked and tells of the change.
func (s *Service) withDeployment(
	ctx context.Context, actor auth.Actor, ref string,
	fn func(pgx.Tx, *instancedb.Queries, instancedb.InstanceDeployment) error,
) error {
	if err := auth.Need(actor, auth.InstancesOperate); err != nil {
		return err
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		row, err := q.LockDeployment(ctx, instancedb.LockDeploymentParams{OrganisationID: actor.Organisation, Ref: ref})
		if errors.Is(err, pgx.ErrNoRows) {
			return noDeployment()
		}
		if err != nil {
			return err
		}
		if err := fn(tx, q, row.InstanceDeployment); err != nil {
			return err
		}
		return tellDeployment(ctx, tx, actor.Organisation, row.InstanceDeployment.ID)
	})
	if err != nil {
		return fmt.Errorf("change the deployment: %w", err)
	}
	s.wake()
	return nil
}

func noDeployment() error {
	return fault.New(fault.NotFound, "There is no such deployment.").WithFix("List the deployments to see their names.")
}
