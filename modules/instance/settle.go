package instance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// settle writes what a step found out, in one transaction: the row, its
// history, its steps, its operations and what is billed. It writes nothing and
// returns errLeaseLost when somebody else has the lease.
func (s *Service) settle(ctx context.Context, c *claim, out outcome) error {
	next, err := c.next(out)
	if err != nil {
		return err
	}
	changed := next.State != c.State || next.Step != c.Step || next.Reason != c.Reason || next.Message != c.Message ||
		next.Address != c.Address || next.Generation != c.Generation || next.Offer != c.Offer
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		rows, err := q.Settle(ctx, c.settleParams(next, out))
		if err != nil {
			return err
		}
		if rows == 0 {
			return errLeaseLost
		}
		if err := recordSteps(ctx, q, c, next, out); err != nil {
			return err
		}
		if next.State != c.State {
			err := q.InsertTransition(ctx, instancedb.InsertTransitionParams{
				InstanceID: c.ID, FromState: string(c.State), ToState: string(next.State),
				Reason: string(out.reason), Message: next.Message,
			})
			if err != nil {
				return err
			}
		}
		if err := s.recordOperations(ctx, q, c, out); err != nil {
			return err
		}
		billed, err := recordResources(ctx, q, next, out)
		if err != nil {
			return err
		}
		if billed {
			if err := tellCharge(ctx, tx, c.Organisation, c.ID); err != nil {
				return err
			}
		}
		if !changed {
			return nil
		}
		return tell(ctx, tx, c.Organisation, c.ID)
	})
	if err != nil {
		return fmt.Errorf("settle %s: %w", c.Name, err)
	}
	return s.after(ctx, c, next)
}

// after wakes whom the change concerns and cuts the tunnel of an instance that
// may not have one any more. The deployment is woken outside the transaction:
// its own pass locks it before its instances.
func (s *Service) after(ctx context.Context, c *claim, next Instance) error {
	if next.State == c.State && next.Reason == c.Reason && next.Message == c.Message {
		return nil
	}
	if !next.State.hasAgent() && s.hub != nil {
		s.hub.Drop(c.ID)
	}
	if err := s.q().WakeDeployment(ctx, c.DeploymentID); err != nil {
		return fmt.Errorf("wake the deployment of %s: %w", c.Name, err)
	}
	s.scale.Wake()
	return nil
}

// next returns the instance as the outcome makes it.
func (c *claim) next(out outcome) (Instance, error) {
	next := c.Instance
	next.Reason, next.Message = out.reason, out.message
	if next.Message == "" {
		next.Message = out.reason.Sentence()
	}
	if out.failed {
		next.Attempts++
	}
	if out.server != nil {
		next.ServerID, next.Address = out.server.Ref.ID, out.server.Address
	}
	if out.offer != nil {
		next.Offer, next.PricePerHour = out.offer.Ref, out.offer.PricePerHour
	}
	switch {
	case out.restart:
		next.Step, next.ServerID, next.Address = StepServerCreated, "", ""
	case out.done:
		next.Step, next.Attempts = c.Step.next(), 0
		next.State = next.Step.state()
	case out.to != "":
		next.State, next.Attempts = out.to, 0
	}
	if out.adopted {
		next.Generation++
	}
	if out.reinstalled {
		next.Generation++
		next.Step = Booting.first()
	}
	if next.State == c.State && !out.reinstalled {
		if out.reason == "" && out.message == "" {
			next.Message = next.State.Sentence()
		}
	} else {
		if !c.State.May(next.State) && !out.reinstalled {
			return next, fmt.Errorf("instance %s cannot go from %s to %s", c.Name, c.State, next.State)
		}
		if out.reason == "" {
			next.Message = next.State.Sentence()
		}
	}
	if next.State == Ready {
		next.Step = ""
	}
	switch {
	case next.State == Ready:
		next.Progress = StepReady.Progress()
	case next.State.Rising():
		next.Progress = next.Step.before()
	default:
		next.Progress = 0
	}
	next.Deadline = c.deadline(next, out)
	return next, nil
}

// deadline returns the deadline of the next state, or the one it has already.
func (c *claim) deadline(next Instance, out outcome) *time.Time {
	length := next.State.Deadline()
	if next.State == Ready && out.reason == ReasonEngineDown {
		length = max(engineDeath, c.startTime)
	}
	if next.State == Starting {
		length = max(length, c.startTime+5*time.Minute)
	}
	if length == 0 || out.idle {
		return nil
	}
	if next.State == c.State && !out.renew && !out.reinstalled && c.Deadline != nil {
		return c.Deadline
	}
	at := c.now.Add(length)
	return &at
}

func (c *claim) settleParams(next Instance, out outcome) instancedb.SettleParams {
	after := out.after
	if next.Deadline != nil && next.Deadline.After(c.now) {
		after = min(after, next.Deadline.Sub(c.now))
	}
	return instancedb.SettleParams{
		ID: c.ID, LeaseEpoch: c.epoch, State: string(next.State), Step: string(next.Step), Progress: int32(next.Progress),
		Reason: string(next.Reason), Message: next.Message, Generation: int32(next.Generation), Attempts: int32(next.Attempts),
		Provider: next.Offer.Provider, Zone: next.Offer.Zone, Type: next.Offer.Type, PricePerHour: next.PricePerHour,
		ProviderServerID: next.ServerID, Address: next.Address, DeadlineAt: next.Deadline,
		Offline: out.reinstalled || !next.State.Rising() && next.State != Draining, Reinstalled: out.reinstalled,
		SeenDesired: string(c.Desired), SeenReinstall: c.reinstall, After: after.Seconds(),
	}
}

// recordSteps keeps when each step began and ended.
func recordSteps(ctx context.Context, q *instancedb.Queries, c *claim, next Instance, out outcome) error {
	if c.Step == "" && next.Step == "" {
		return nil
	}
	at := func(generation int, step Step) instancedb.EndStepParams {
		return instancedb.EndStepParams{InstanceID: c.ID, Generation: int32(generation), Step: string(step)}
	}
	if next.Step == c.Step && next.Generation == c.Generation && (next.State == c.State || next.State.Rising()) {
		if next.Message == c.Message {
			return nil
		}
		return q.NoteStep(ctx, instancedb.NoteStepParams{
			InstanceID: c.ID, Generation: int32(c.Generation), Step: string(c.Step), Detail: next.Message,
		})
	}
	if c.Step != "" && c.State.Rising() {
		end := at(c.Generation, c.Step)
		if !out.done {
			end.Failed, end.Detail = next.State.Failure() || out.restart, next.Message
		}
		if err := q.EndStep(ctx, end); err != nil {
			return err
		}
	}
	if !next.State.Rising() {
		return nil
	}
	begin := next.Step
	if next.State == Ready {
		begin = StepReady
	}
	err := q.StartStep(ctx, instancedb.StartStepParams{InstanceID: c.ID, Generation: int32(next.Generation), Step: string(begin)})
	if err != nil || next.State != Ready {
		return err
	}
	return q.EndStep(ctx, at(next.Generation, StepReady))
}

// recordOperations settles what was asked of the provider and plans what is
// asked next.
func (s *Service) recordOperations(ctx context.Context, q *instancedb.Queries, c *claim, out outcome) error {
	for _, op := range out.ops {
		err := q.SettleOperation(ctx, instancedb.SettleOperationParams{
			ID: op.id, Status: string(op.status), Target: op.target, Error: op.err,
		})
		if err != nil {
			return err
		}
	}
	if out.done && c.Step == StepVolumeReady {
		return q.PlanOperation(ctx, instancedb.PlanOperationParams{
			ID: uuid.Must(uuid.NewV7()), InstanceID: c.ID, Kind: string(OpPowerOn), Target: c.ServerID, Epoch: c.epoch,
		})
	}
	return nil
}

// recordResources keeps what began and what ended to be billed, and reports
// whether anything did.
func recordResources(ctx context.Context, q *instancedb.Queries, next Instance, out outcome) (bool, error) {
	found := out.found
	if out.server != nil {
		found = append(found, out.server.Resources...)
	}
	var changes int64
	for _, r := range found {
		n, err := q.SaveResource(ctx, resourceRow(next, r))
		if err != nil {
			return false, err
		}
		changes += n
	}
	for _, r := range out.gone {
		p := instancedb.EndResourceParams{ID: r.id}
		if !r.at.IsZero() {
			p.At = &r.at
		}
		n, err := q.EndResource(ctx, p)
		if err != nil {
			return false, err
		}
		changes += n
	}
	return changes > 0, nil
}

func resourceRow(i Instance, r ProviderResource) instancedb.SaveResourceParams {
	price := r.PricePerHour
	if r.Ref.Kind == KindServer {
		price = i.PricePerHour
	}
	return instancedb.SaveResourceParams{
		ID: uuid.Must(uuid.NewV7()), InstanceID: i.ID, OrganisationID: i.Organisation, Kind: string(r.Ref.Kind),
		Provider: i.Offer.Provider, Zone: r.Ref.Zone, ProviderID: r.Ref.ID, Description: r.Description,
		PricePerHour: price, CreatedAt: r.CreatedAt,
	}
}
