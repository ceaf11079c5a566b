package instance

import (
	"context"
	"fmt"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

const (
	drainQuiet  = 2 * time.Second  // after which no request is on its way to a draining instance
	drainBlind  = 30 * time.Second // given to an engine that does not say what runs
	engineDeath = 15 * time.Minute // after which an instance without its engine is replaced
)

// look checks a ready instance: that its server is still there, that its node
// reports, that its engine runs. Requests go on meanwhile.
func (s *Service) look(ctx context.Context, p Provider, c *claim) (outcome, error) {
	out := outcome{after: s.timing.Check}
	server, err := p.Server(ctx, c.ref())
	switch KindOf(err) {
	case "":
		out.server = &server
		if server.State == ServerStopped {
			return outcome{to: Terminating, reason: ReasonServerStopped}, nil
		}
	case KindNotFound:
		return outcome{to: Terminating, reason: ReasonProviderDeleted}, nil
	default: // it says nothing about the instance, which goes on serving
		s.log.WarnContext(ctx, "provider not asked about a ready instance", "instance", c.Name, "err", err)
	}
	node, err := s.nodeRow(ctx, c.ID)
	if err != nil || node == nil {
		return out, err
	}
	if c.Connectivity != Online {
		return s.silent(ctx, c, out, s.later(node.HeartbeatAt, node.LinkedAt))
	}
	if h := readHeartbeat(node.Heartbeat); h != nil && h.Engine.State != wire.EngineReady {
		return c.engineDown(out, h, node.HeartbeatAt), nil
	}
	if out.reason = c.Flag; out.reason == "" && c.now.Sub(s.later(node.HeartbeatAt)) > s.timing.Suspect {
		out.reason = ReasonNodeUnheard
	}
	return out, nil
}

// later returns the latest of the times at which a node was heard of, or that
// since when somebody listens.
func (s *Service) later(times ...*time.Time) time.Time {
	latest := s.listening.since()
	for _, t := range times {
		if t != nil && t.After(latest) {
			latest = *t
		}
	}
	return latest
}

// engineDown waits for an engine that the agent starts again, up to a deadline
// that begins when it is first seen down: one that ends again and again is in
// none of its states for long. Only a report from after the deadline counts, so
// that an engine that came back while nobody listened is left alone.
func (c *claim) engineDown(out outcome, h *wire.Heartbeat, reported *time.Time) outcome {
	if c.Deadline != nil && reported != nil && reported.After(*c.Deadline) {
		return outcome{to: Terminating, reason: ReasonEngineFailed, message: "The engine has been down for too long. " + h.Engine.LastError}
	}
	out.reason, out.message, out.after = ReasonEngineDown, ReasonEngineDown.Sentence(), min(5*time.Second, out.after)
	if h.Engine.LastError != "" {
		out.message += " It last said: " + h.Engine.LastError
	}
	return out
}

// silent decides about a node that does not report and has no tunnel. When many
// fall silent at once the fault is more likely ours: then none of them is given
// up.
func (s *Service) silent(ctx context.Context, c *claim, out outcome, since time.Time) (outcome, error) {
	out.reason, out.after = ReasonNodeSilent, min(5*time.Second, out.after)
	if c.Connectivity != Lost || c.now.Sub(since) < s.timing.Replace {
		return out, nil
	}
	count, err := s.q().Silence(ctx)
	if err != nil {
		return out, fmt.Errorf("count silent nodes: %w", err)
	}
	if count.Lost >= 3 && count.Lost*2 > count.Nodes {
		out.reason = ReasonManySilent
		return out, nil
	}
	return outcome{to: Terminating, reason: ReasonNodeLost}, nil
}

// drain waits until the engine says that nothing runs or waits any more.
func (s *Service) drain(ctx context.Context, c *claim) (outcome, error) {
	node, err := s.nodeRow(ctx, c.ID)
	if err != nil {
		return outcome{}, err
	}
	if node == nil || c.Connectivity == Lost {
		return outcome{to: Terminating, reason: ReasonNodeLost}, nil
	}
	h := readHeartbeat(node.Heartbeat)
	fresh := h != nil && node.HeartbeatAt != nil && node.HeartbeatAt.After(c.StateSince.Add(drainQuiet))
	if fresh && h.Gauges != nil && h.Gauges.Running != nil {
		running := *h.Gauges.Running
		if h.Gauges.Waiting != nil {
			running += *h.Gauges.Waiting
		}
		if running == 0 {
			return outcome{to: Terminating, reason: ReasonDrained}, nil
		}
		return wait(ReasonWaitingRequests, time.Second, fmt.Sprintf("%d requests are being finished.", running)), nil
	}
	if fresh && c.now.Sub(c.StateSince) > drainBlind {
		return outcome{to: Terminating, reason: ReasonDrained}, nil
	}
	return wait(ReasonWaitingRequests, time.Second, ""), nil
}
