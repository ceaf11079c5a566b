package instance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

const maxPerPass = 200

// scalePass brings the replicas of the deployments that are due to what their
// owners wish. It asks nobody outside the database, so a row lock is all that
// keeps two processes apart.
func (s *Service) scalePass(ctx context.Context) (int, error) {
	offers, err := s.catalog.Offers(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the offers: %w", err)
	}
	for n := range maxPerPass {
		found, launched, err := s.scaleNext(ctx, offers)
		if err != nil || !found {
			return n, err
		}
		if launched {
			s.reconcile.Wake()
		}
	}
	return maxPerPass, nil
}

func (s *Service) scaleNext(ctx context.Context, offers []Offer) (found, launched bool, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		row, err := q.LockDueDeployment(ctx)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("take the next deployment: %w", err)
		}
		found = true
		d := row.InstanceDeployment
		replicas, err := readReplicas(ctx, q, d.ID)
		if err != nil {
			return err
		}
		failures, err := q.Failures(ctx, instancedb.FailuresParams{DeploymentID: d.ID, Since: d.RetryFrom})
		if err != nil {
			return fmt.Errorf("count failures: %w", err)
		}
		p := planFor(wish{
			low: int(d.MinReplicas), high: int(d.MaxReplicas), stopped: d.Stopped, now: row.Now,
			sleepiness: sleepiness{idle: time.Duration(d.IdleMinutes) * time.Minute, used: d.UsedAt, woken: d.WokenAt != nil},
			failures:   int(failures.Failures), lastFailure: failures.LastAt, backoff: s.timing.Backoff,
		}, replicas)
		for id, e := range p.end {
			if err := want(ctx, tx, d.OrganisationID, id, e.desired, e.reason); err != nil {
				return err
			}
		}
		if p.launch > 0 {
			if err := s.launch(ctx, tx, d, offers, &p); err != nil {
				return err
			}
		}
		launched = p.launch > 0 || len(p.end) > 0
		err = q.DelayDeployment(ctx, instancedb.DelayDeploymentParams{
			ID: d.ID, Reason: string(p.reason), Message: p.message, Sleeps: p.sleeps, After: p.after.Seconds(),
		})
		if err != nil {
			return err
		}
		if string(p.reason) == d.Reason && p.message == d.Message && !launched {
			return nil
		}
		return tellDeployment(ctx, tx, d.OrganisationID, d.ID)
	})
	return found, launched, err
}

func readReplicas(ctx context.Context, q *instancedb.Queries, deployment uuid.UUID) ([]replica, error) {
	rows, err := q.Replicas(ctx, deployment)
	if err != nil {
		return nil, fmt.Errorf("read the replicas: %w", err)
	}
	out := make([]replica, 0, len(rows))
	for _, r := range rows {
		out = append(out, replica{
			id: r.ID, state: State(r.State), desired: Desired(r.Desired), cordoned: Eligibility(r.Eligibility) == Cordoned,
			reason: Reason(r.Reason), message: r.Message, createdAt: r.CreatedAt,
			since: r.StateSince,
		})
	}
	return out, nil
}

// launch records new instances on the first offer that can be asked for: the
// intent of a server comes with the row, before anybody is asked.
func (s *Service) launch(ctx context.Context, tx pgx.Tx, d instancedb.InstanceDeployment, offers []Offer, p *plan) error {
	offer, ok := s.firstOffer(d.Offers, offers)
	if !ok {
		p.launch, p.reason, p.message = 0, ReasonProviderUnknown, "None of the deployment's offers can be rented at present."
		return nil
	}
	q := instancedb.New(tx)
	for range p.launch {
		id := uuid.Must(uuid.NewV7())
		err := q.InsertInstance(ctx, instancedb.InsertInstanceParams{
			ID: id, OrganisationID: d.OrganisationID, DeploymentID: d.ID, Name: newName(id), Model: d.Model,
			Provider: offer.Ref.Provider, Zone: offer.Ref.Zone, Type: offer.Ref.Type, PricePerHour: offer.PricePerHour,
			VolumeGb: d.VolumeGb, State: string(Provisioning), Step: string(StepServerCreated),
			Progress: int32(StepRequested.Progress()), Message: Provisioning.Sentence(),
			Deadline: Provisioning.Deadline().Seconds(), CreatedBy: d.CreatedBy,
		})
		if err != nil {
			return fmt.Errorf("record an instance: %w", err)
		}
		if err := startGeneration(ctx, q, id, 1); err != nil {
			return err
		}
		err = q.InsertTransition(ctx, instancedb.InsertTransitionParams{
			InstanceID: id, ToState: string(Provisioning), Message: Provisioning.Sentence(),
		})
		if err != nil {
			return err
		}
		err = q.PlanOperation(ctx, instancedb.PlanOperationParams{
			ID: uuid.Must(uuid.NewV7()), InstanceID: id, Kind: string(OpCreateServer),
		})
		if err != nil {
			return err
		}
		if err := tell(ctx, tx, d.OrganisationID, id); err != nil {
			return err
		}
	}
	return nil
}

// firstOffer returns the first of the wanted offers that can be rented through
// this process, preferring those that are not known to be out of stock.
func (s *Service) firstOffer(wanted []string, offers []Offer) (Offer, bool) {
	var usable []Offer
	for _, text := range wanted {
		i := slices.IndexFunc(offers, func(o Offer) bool { return o.Ref.String() == text })
		if i < 0 {
			continue
		}
		if _, ours := s.providers[offers[i].Ref.Provider]; ours {
			usable = append(usable, offers[i])
		}
	}
	for _, o := range usable {
		if o.Stock != StockOut {
			return o, true
		}
	}
	if len(usable) > 0 {
		return usable[0], true
	}
	return Offer{}, false
}
