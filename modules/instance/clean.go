package instance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// clean deletes everything that is billed for an instance that ends or has
// failed, until the provider has answered for each part that it is gone. A
// terminating instance is terminated then; a failed one keeps its state, so
// that people see why, and costs nothing any more.
func (s *Service) clean(ctx context.Context, c *claim) (outcome, error) {
	out, settled, err := s.settleCreate(ctx, c)
	if err != nil || !settled {
		return c.deleting(out), err
	}
	out, over, err := s.clear(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	if !over {
		return c.deleting(out), nil
	}
	if c.State == Terminating {
		out.to, out.reason, out.message = Terminated, ReasonDeleted, ""
		return out, nil
	}
	out.reason, out.message, out.idle, out.after = c.Reason, strings.TrimSuffix(c.Message, slowNote), true, time.Hour
	return out, nil
}

// slowNote is added to what a failed instance says while its deletion is slow.
var slowNote = " " + ReasonDeletionSlow.Sentence()

// deleting says what a deletion in progress shows: a failed instance goes on to
// say why it failed; both say so when it takes too long.
func (c *claim) deleting(out outcome) outcome {
	late := c.now.Sub(c.StateSince) > c.State.Deadline()
	if c.Deadline != nil && c.now.After(*c.Deadline) {
		out.renew = true
	}
	switch {
	case c.State.Failure():
		out.reason, out.message = c.Reason, c.Message
		if late && !strings.HasSuffix(c.Message, slowNote) {
			out.message += slowNote
		}
	case out.reason == "" && late:
		out.reason = ReasonDeletionSlow
	case out.reason == "":
		out.reason = ReasonDeleting
	}
	return out
}

// settleCreate makes sure that no request for a server is on its way: what is
// in doubt is looked for, what was only planned never happens.
func (s *Service) settleCreate(ctx context.Context, c *claim) (outcome, bool, error) {
	ops, err := operations(ctx, s.q(), c.ID)
	if err != nil {
		return outcome{}, false, fmt.Errorf("read the operations: %w", err)
	}
	for _, op := range ops {
		switch {
		case op.Kind == OpCreateServer && op.Status == OpPlanned, op.Kind == OpPowerOn && op.SettledAt == nil,
			op.Kind == OpInstall && op.SettledAt == nil:
			return outcome{ops: []settledOperation{{op.ID, OpAbsent, "", "no longer wanted"}}}, false, nil
		case inDoubt(op):
			p, ok := s.providers[c.Offer.Provider]
			if !ok {
				return wait(ReasonProviderUnknown, time.Second, ""), false, nil
			}
			out, server, err := s.search(ctx, p, c, op)
			if server != nil {
				out.server = server
			}
			return out, false, err
		}
	}
	return outcome{}, true, nil
}

// clear deletes what is still billed, servers first, and reports whether the
// provider has said of all of it that it is gone.
func (s *Service) clear(ctx context.Context, c *claim) (outcome, bool, error) {
	all, err := s.q().InstanceResources(ctx, c.ID)
	if err != nil {
		return outcome{}, false, fmt.Errorf("read the resources: %w", err)
	}
	left := slices.DeleteFunc(all, func(r instancedb.InstanceResourcesRow) bool { return r.GoneAt != nil })
	slices.SortStableFunc(left, func(a, b instancedb.InstanceResourcesRow) int { return order(a.Kind) - order(b.Kind) })
	var out outcome
	for i, r := range left {
		if i > 0 && order(r.Kind) > order(left[i-1].Kind) && len(out.gone) < i {
			break // a volume is in use as long as its server is there
		}
		gone, op, err := s.delete(ctx, c, r)
		if err != nil {
			if errors.Is(err, errLeaseLost) {
				return out, false, err
			}
			trouble := c.trouble(err)
			trouble.gone, trouble.ops = out.gone, out.ops
			return trouble, false, nil
		}
		if !gone.Gone {
			continue
		}
		out.gone = append(out.gone, goneResource{r.ID, gone.At})
		out.ops = append(out.ops, op)
	}
	if len(out.gone) == len(left) {
		return out, len(left) == 0 || c.State != Provisioning, nil
	}
	out.after = backoff(c.Attempts)
	out.failed = true
	return out, false, nil
}

// order is the turn in which a kind of resource can be deleted.
func order(kind string) int {
	if ResourceKind(kind) == KindServer {
		return 0
	}
	return 1
}

// delete asks for the end of one resource. It is the provider's contract that
// this may be repeated and that it looks before it acts.
func (s *Service) delete(ctx context.Context, c *claim, r instancedb.InstanceResourcesRow) (Deletion, settledOperation, error) {
	p, ok := s.providers[r.Provider]
	if !ok {
		return Deletion{}, settledOperation{}, &ProviderError{Kind: KindTransient, Text: ReasonProviderUnknown.Sentence()}
	}
	kind := OpDeleteResource
	if ResourceKind(r.Kind) == KindServer {
		kind = OpDeleteServer
	}
	id, err := s.send(ctx, c, kind, r.ProviderID)
	if err != nil {
		return Deletion{}, settledOperation{}, err
	}
	gone, err := p.Delete(ctx, ResourceRef{Kind: ResourceKind(r.Kind), Zone: r.Zone, ID: r.ProviderID})
	s.failpoint(string(kind) + ".answered")
	if KindOf(err) == KindNotFound {
		gone, err = Deletion{Gone: true}, nil
	}
	if err != nil {
		return Deletion{}, settledOperation{}, err
	}
	return gone, settledOperation{id, OpConfirmed, r.ProviderID, ""}, nil
}
