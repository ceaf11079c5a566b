package instance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// send records that an operation is about to be sent, and returns its id. It
// returns errLeaseLost when it may not be: somebody else has the instance.
func (s *Service) send(ctx context.Context, c *claim, kind OperationKind, target string) (uuid.UUID, error) {
	id, err := s.q().SendOperation(ctx, instancedb.SendOperationParams{
		ID: uuid.Must(uuid.NewV7()), InstanceID: c.ID, Kind: string(kind), Target: target, Epoch: c.epoch,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, errLeaseLost
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("record that %s is sent: %w", kind, err)
	}
	s.failpoint(string(kind) + ".sent")
	return id, nil
}

// create asks for the server. A request whose end is not known is never made
// again before the provider's listing has been looked through for long enough.
func (s *Service) create(ctx context.Context, p Provider, c *claim) (outcome, error) {
	out, over, err := s.clear(ctx, c)
	if err != nil || !over {
		return out, err
	}
	ops, err := operations(ctx, s.q(), c.ID)
	if err != nil {
		return outcome{}, fmt.Errorf("read the operations: %w", err)
	}
	if i := slices.IndexFunc(ops, func(op Operation) bool { return inDoubt(op) || c.forgotten(op) }); i >= 0 {
		return s.resolve(ctx, p, c, ops[i])
	}
	id, err := s.send(ctx, c, OpCreateServer, "")
	if err != nil {
		return outcome{}, err
	}
	// The shutdown of this process does not cut the call short: that would only
	// leave a doubt to whoever takes over.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timing.Step)
	defer cancel()
	server, err := p.Create(asking, s.spec(c))
	s.failpoint("create_server.answered")
	if err == nil {
		return outcome{done: true, server: &server, ops: []settledOperation{{id, OpConfirmed, server.Ref.ID, ""}}}, nil
	}
	op := settledOperation{id: id, status: OpAbsent, err: err.Error()}
	switch kind := KindOf(err); kind {
	case KindOutOfStock, KindQuota:
		out, err = s.nextOffer(ctx, c, kind, err)
		out.ops = []settledOperation{op}
		return out, err
	case KindInvalid:
		out = c.fail(ReasonProviderRefused, sentenceOf(err, ReasonProviderRefused))
	case KindDenied, KindThrottled:
		out = c.trouble(err)
	default:
		op.status = OpAmbiguous
		out = wait(ReasonCreateInDoubt, 500*time.Millisecond, "")
	}
	out.ops = []settledOperation{op}
	return out, nil
}

func inDoubt(op Operation) bool {
	return op.Kind == OpCreateServer && (op.Status == OpSent || op.Status == OpAmbiguous)
}

// forgotten reports whether the request for the server was planned so long ago
// that it may have been sent since, by a process whose database this is a
// restored dump of.
func (c *claim) forgotten(op Operation) bool {
	return op.Kind == OpCreateServer && op.Status == OpPlanned && c.now.Sub(op.PlannedAt) > time.Minute
}

func (s *Service) spec(c *claim) ServerSpec {
	return ServerSpec{
		Tags: Tags{Installation: s.Installation(), Instance: c.ID}, Name: c.Name,
		Zone: c.Offer.Zone, Type: c.Offer.Type, VolumeGB: c.VolumeGB,
	}
}

// resolve finds out by the tag what became of a request for a server.
func (s *Service) resolve(ctx context.Context, p Provider, c *claim, op Operation) (outcome, error) {
	out, server, err := s.search(ctx, p, c, op)
	if err != nil || server == nil {
		return out, err
	}
	out.server, out.done = server, true
	out.adopted = op.Status == OpPlanned // its agent, if it has one, is unknown: it is installed anew
	return out, nil
}

// search looks the server of a request in doubt up by its tag. It returns it,
// or an outcome that either waits on or says that there is none.
func (s *Service) search(ctx context.Context, p Provider, c *claim, op Operation) (outcome, *Server, error) {
	listed, err := p.List(ctx, Query{Installation: s.Installation(), Instance: c.ID})
	if err != nil {
		return c.trouble(err), nil, nil
	}
	known, err := s.q().InstanceResources(ctx, c.ID)
	if err != nil {
		return outcome{}, nil, fmt.Errorf("read the resources: %w", err)
	}
	for _, r := range listed {
		old := slices.ContainsFunc(known, func(k instancedb.InstanceResourcesRow) bool {
			return k.ProviderID == r.Ref.ID && k.Zone == r.Ref.Zone && k.GoneAt != nil
		})
		if r.Ref.Kind != KindServer || old {
			continue
		}
		server, err := p.Server(ctx, ServerRef{Zone: r.Ref.Zone, ID: r.Ref.ID})
		if KindOf(err) == KindNotFound {
			continue
		}
		if err != nil {
			return c.trouble(err), nil, nil
		}
		return outcome{ops: []settledOperation{{op.ID, OpConfirmed, r.Ref.ID, op.Error}}}, &server, nil
	}
	if op.SentAt != nil && c.now.Sub(*op.SentAt) < s.timing.Grace {
		return wait(ReasonCreateInDoubt, min(time.Second, s.timing.Grace/4), ""), nil, nil
	}
	return outcome{ops: []settledOperation{{op.ID, OpAbsent, "", op.Error}}}, nil, nil
}

// nextOffer goes on with the next offer in order of preference; after the last
// one it begins again, a little later each time.
func (s *Service) nextOffer(ctx context.Context, c *claim, kind ErrorKind, cause error) (outcome, error) {
	why := ReasonOutOfStock
	if kind == KindQuota {
		why = ReasonQuota
	}
	known, err := s.catalog.Offers(ctx)
	if err != nil {
		return outcome{}, fmt.Errorf("read the offers: %w", err)
	}
	at := slices.Index(c.offers, c.Offer)
	for n := 1; n <= len(c.offers); n++ {
		i := (at + n) % len(c.offers)
		j := slices.IndexFunc(known, func(o Offer) bool { return o.Ref == c.offers[i] })
		if _, ours := s.providers[c.offers[i].Provider]; j < 0 || !ours {
			continue
		}
		out := outcome{offer: &known[j], restart: true, reason: why}
		out.message = fmt.Sprintf("%s: %s The next offer, %s, is asked.", c.Offer, sentenceOf(cause, why), c.offers[i])
		if i <= at { // all of them have been asked
			out.failed = true
			out.after = min(5*time.Second<<min(c.Attempts, 6), 5*time.Minute)
			again := c.now.Add(out.after).UTC().Format("15:04:05")
			out.message = fmt.Sprintf("%s: %s It is asked again at %s UTC.", c.Offer, sentenceOf(cause, why), again)
			if n := len(c.offers); n > 1 {
				out.message = fmt.Sprintf("None of the %d offers can be had; the last answer, for %s, was: %s They are asked again at %s UTC.",
					n, c.Offer, sentenceOf(cause, why), again)
			}
		}
		return out, nil
	}
	return c.fail(ReasonProviderUnknown, ""), nil
}

// prepare does what has to be done before the first start.
func (s *Service) prepare(ctx context.Context, p Provider, c *claim) (outcome, error) {
	err := p.Prepare(ctx, c.ref(), s.spec(c))
	switch KindOf(err) {
	case "":
		return outcome{done: true}, nil
	case KindNotFound:
		return c.fail(ReasonProviderDeleted, ""), nil
	case KindInvalid:
		return outcome{to: Failed, reason: ReasonProviderRefused, message: sentenceOf(err, ReasonProviderRefused)}, nil
	}
	return c.trouble(err), nil
}

func (c *claim) ref() ServerRef { return ServerRef{Zone: c.Offer.Zone, ID: c.ServerID} }

// powerOn asks for a start once and looks until there is one.
func (s *Service) powerOn(ctx context.Context, p Provider, c *claim) (outcome, error) {
	server, err := p.Server(ctx, c.ref())
	switch KindOf(err) {
	case "":
	case KindNotFound:
		return c.fail(ReasonProviderDeleted, ""), nil
	default:
		return c.trouble(err), nil
	}
	if server.State == ServerStarting || server.State == ServerRunning {
		ops, err := operations(ctx, s.q(), c.ID)
		out := outcome{done: true, server: &server}
		for _, op := range ops {
			if op.Kind == OpPowerOn && op.SettledAt == nil {
				out.ops = append(out.ops, settledOperation{op.ID, OpConfirmed, c.ServerID, ""})
			}
		}
		return out, err
	}
	if server.State == ServerStopping {
		return wait(ReasonWaitingServer, backoff(c.Attempts), ""), nil
	}
	id, err := s.send(ctx, c, OpPowerOn, c.ServerID)
	if err != nil {
		return outcome{}, err
	}
	err = p.PowerOn(ctx, c.ref())
	s.failpoint("power_on.answered")
	switch kind := KindOf(err); kind {
	case "":
		out := wait(ReasonWaitingServer, 0, "")
		if c.Attempts > 0 { // it fell back to stopped
			out.after = backoff(c.Attempts)
		}
		out.failed = true // so that a server that never starts is asked more slowly
		return out, nil
	case KindOutOfStock, KindQuota:
		out, err := s.nextOffer(ctx, c, kind, err)
		out.ops = []settledOperation{{id, OpAbsent, "", kindText(kind)}}
		return out, err
	case KindInvalid:
		return c.fail(ReasonProviderRefused, sentenceOf(err, ReasonProviderRefused)), nil
	}
	return c.trouble(err), nil
}

func kindText(k ErrorKind) string { return string(k) }

// trouble is the outcome of an error that says nothing about the instance: it
// is asked again, more slowly each time, until the state's deadline.
func (c *claim) trouble(err error) outcome {
	why := ReasonProviderAway
	switch KindOf(err) {
	case KindDenied:
		why = ReasonProviderDenied
	case KindThrottled:
		why = ReasonProviderThrottled
	}
	out := wait(why, backoff(c.Attempts), sentenceOf(err, why))
	out.failed = true
	if c.State == Terminating || c.State.Failure() {
		out.renew = true
	}
	return out
}

// sentenceOf returns the provider's own words, or the reason's sentence.
func sentenceOf(err error, why Reason) string {
	if e, ok := errors.AsType[*ProviderError](err); ok && e.Text != "" && e.Kind != KindUnknown {
		return e.Text
	}
	return why.Sentence()
}
