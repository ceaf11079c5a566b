package instance

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// Terminate ends an instance at once, whatever it does; its deployment replaces
// it when it is below its minimum. It may be repeated. Like all verbs here it
// fails with fault.Denied without instances.operate, fault.NotFound for an
// instance that the organisation does not have, and fault.Conflict when the
// instance's state forbids it.
func (s *Service) Terminate(ctx context.Context, actor auth.Actor, ref string) (Instance, error) {
	return s.operate(ctx, actor, ref, "instance.terminate", func(tx pgx.Tx, i held) error {
		if i.State.Gone() || i.State == Terminating {
			return nil // it is ending, or has ended
		}
		return want(ctx, tx, i.Organisation, i.ID, WantTerminated, ReasonUserTerminated)
	})
}

// Replace has a new instance take this one's place: it serves until the new one
// is ready and then finishes what runs. One that does not serve ends at once.
func (s *Service) Replace(ctx context.Context, actor auth.Actor, ref string) (Instance, error) {
	return s.operate(ctx, actor, ref, "instance.replace", func(tx pgx.Tx, i held) error {
		switch {
		case i.State.Failure():
			return want(ctx, tx, i.Organisation, i.ID, WantTerminated, ReasonUserReplaced)
		case !i.State.Rising() || i.Desired != WantReady && i.Desired != WantReplaced:
			return i.conflict("It is ending already.", "Its deployment starts another one by itself.")
		}
		return want(ctx, tx, i.Organisation, i.ID, WantReplaced, ReasonUserReplaced)
	})
}

// Reinstall puts the agent on the instance's server anew and starts the engine
// again; the server stays.
func (s *Service) Reinstall(ctx context.Context, actor auth.Actor, ref string) (Instance, error) {
	return s.operate(ctx, actor, ref, "instance.reinstall", func(tx pgx.Tx, i held) error {
		if i.State == Provisioning || !i.State.May(Booting) && i.State != Booting {
			return i.conflict("There is no running server to install anew.", "Retry a failed instance, or replace this one.")
		}
		return instancedb.New(tx).AskReinstall(ctx, instancedb.AskReinstallParams{ID: i.ID, OrganisationID: i.Organisation})
	})
}

// Retry gives a failed instance another attempt, with a new server. What its
// last attempt left has to be gone first.
func (s *Service) Retry(ctx context.Context, actor auth.Actor, ref string) (Instance, error) {
	return s.operate(ctx, actor, ref, "instance.retry", func(tx pgx.Tx, i held) error {
		if !i.State.Failure() {
			return i.conflict("It has not failed.", "Reinstall or replace it instead.")
		}
		if !i.room {
			return i.conflict("Its deployment has all the replicas it may have, is stopped, or was deleted.",
				"Start or scale the deployment first, or leave the failed instance: it costs nothing.")
		}
		q := instancedb.New(tx)
		resources, err := q.InstanceResources(ctx, i.ID)
		if err != nil {
			return err
		}
		for _, r := range resources {
			if r.GoneAt == nil {
				return i.conflict("What its last attempt left is still being deleted.", "Try again in a moment.")
			}
		}
		if i.leased || i.Deadline != nil {
			return i.conflict("It is being cleaned up.", "Try again in a moment.")
		}
		deadline := Provisioning.Deadline().Seconds()
		err = q.MoveInstance(ctx, instancedb.MoveInstanceParams{
			ID: i.ID, State: string(Provisioning), Step: string(StepServerCreated), Progress: int32(StepRequested.Progress()),
			Message: Provisioning.Sentence(), Desired: string(WantReady), Generations: 1, Deadline: &deadline,
		})
		if err != nil {
			return err
		}
		if err := startGeneration(ctx, q, i.ID, i.Generation+1); err != nil {
			return err
		}
		return q.InsertTransition(ctx, instancedb.InsertTransitionParams{
			InstanceID: i.ID, FromState: string(i.State), ToState: string(Provisioning),
			Reason: string(ReasonUserRetried), Message: ReasonUserRetried.Sentence(),
		})
	})
}

// Archive takes a terminated instance out of the lists; its history and what it
// cost stay.
func (s *Service) Archive(ctx context.Context, actor auth.Actor, ref string) (Instance, error) {
	return s.operate(ctx, actor, ref, "instance.archive", func(tx pgx.Tx, i held) error {
		if i.State == Archived {
			return nil
		}
		if !i.State.May(Archived) {
			return i.conflict("Only a terminated instance can be archived; this one is "+string(i.State)+".", "Terminate it first.")
		}
		return archive(ctx, tx, i.ID, ReasonUserArchived)
	})
}

func archive(ctx context.Context, tx pgx.Tx, id uuid.UUID, why Reason) error {
	q := instancedb.New(tx)
	err := q.MoveInstance(ctx, instancedb.MoveInstanceParams{
		ID: id, State: string(Archived), Reason: string(why), Message: why.Sentence(), Desired: string(WantTerminated),
	})
	if err != nil {
		return err
	}
	return q.InsertTransition(ctx, instancedb.InsertTransitionParams{
		InstanceID: id, FromState: string(Terminated), ToState: string(Archived), Reason: string(why), Message: why.Sentence(),
	})
}

// Cordon keeps new requests away from an instance.
func (s *Service) Cordon(ctx context.Context, actor auth.Actor, ref string) (Instance, error) {
	return s.setEligibility(ctx, actor, ref, "instance.cordon", Cordoned)
}

// Uncordon lets requests reach an instance again, and takes note that somebody
// has looked at what it was flagged for.
func (s *Service) Uncordon(ctx context.Context, actor auth.Actor, ref string) (Instance, error) {
	return s.setEligibility(ctx, actor, ref, "instance.uncordon", Eligible)
}

func (s *Service) setEligibility(ctx context.Context, actor auth.Actor, ref, action string, e Eligibility) (Instance, error) {
	return s.operate(ctx, actor, ref, action, func(tx pgx.Tx, i held) error {
		flag := ""
		if e == Cordoned {
			flag = string(i.Flag)
		}
		return instancedb.New(tx).SetEligibility(ctx, instancedb.SetEligibilityParams{
			ID: i.ID, OrganisationID: i.Organisation, Eligibility: string(e), Flag: flag,
		})
	})
}

// held is an instance under a row lock.
type held struct {
	Instance

	leased bool
	room   bool // for one more replica in its deployment
}

func (h held) conflict(why, fix string) error {
	return fault.New(fault.Conflict, "The instance "+h.Name+" cannot do that now. "+why).WithFix(fix)
}

// operate runs fn with the instance locked, writes the audit row, tells of the
// change and wakes the loops.
func (s *Service) operate(
	ctx context.Context, actor auth.Actor, ref, action string, fn func(pgx.Tx, held) error,
) (Instance, error) {
	if err := auth.Need(actor, auth.InstancesOperate); err != nil {
		return Instance{}, err
	}
	var id, deployment uuid.UUID
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		row, err := q.LockInstance(ctx, instancedb.LockInstanceParams{OrganisationID: actor.Organisation, Ref: ref})
		if errors.Is(err, pgx.ErrNoRows) {
			return noInstance()
		}
		if err != nil {
			return err
		}
		id, deployment = row.InstanceInstance.ID, row.InstanceInstance.DeploymentID
		i := held{toInstance(row.InstanceInstance, row.Deployment, row.Kind), row.Leased, row.Room}
		if err := fn(tx, i); err != nil {
			return err
		}
		if err := auth.Audit(ctx, tx, actor, action, i.Name, map[string]any{"state": i.State}); err != nil {
			return err
		}
		return tell(ctx, tx, actor.Organisation, id)
	})
	if err == nil { // outside the transaction: the deployment's pass locks it before its instances
		err = s.q().WakeDeployment(ctx, deployment)
	}
	if err != nil {
		return Instance{}, fmt.Errorf("change the instance: %w", err)
	}
	s.wake()
	return s.byRef(ctx, actor.Organisation, id.String())
}

// want records what is wanted of an instance and tells of it.
func want(ctx context.Context, tx pgx.Tx, organisation, id uuid.UUID, desired Desired, why Reason) error {
	err := instancedb.New(tx).Want(ctx, instancedb.WantParams{
		ID: id, Desired: string(desired), Reason: string(why), Message: why.Sentence(),
	})
	if err != nil {
		return err
	}
	return tell(ctx, tx, organisation, id)
}

func noInstance() error {
	return fault.New(fault.NotFound, "There is no such instance.").WithFix("List the instances to see their names.")
}

// startGeneration begins the record of steps of one attempt.
func startGeneration(ctx context.Context, q *instancedb.Queries, id uuid.UUID, generation int) error {
	for _, step := range []Step{StepRequested, StepServerCreated} {
		err := q.StartStep(ctx, instancedb.StartStepParams{InstanceID: id, Generation: int32(generation), Step: string(step)})
		if err != nil {
			return err
		}
	}
	return q.EndStep(ctx, instancedb.EndStepParams{InstanceID: id, Generation: int32(generation), Step: string(StepRequested)})
}
