package agent

import (
	"context"
	"errors"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/machine"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// errStop ends an agent that the control plane has told to stop.
var errStop = errors.New("told to stop")

// goneAfter is how many times in a row the control plane has to say that the
// instance has ended before the agent believes it.
const goneAfter = 3

// soonest bounds how fast heartbeats follow changes of the engine.
const soonest = 500 * time.Millisecond

// beat reports to the control plane, at once, then at the interval it asks for
// and whenever the engine changes its state, until ctx ends. It returns errStop
// when the node is told to stop or its instance has ended.
func (a *agent) beat(ctx context.Context) error {
	host := machine.NewReader(a.cfg.StateDir)
	failed := repeated{events: a.events, kind: "heartbeat_failed"}
	gone := 0
	for {
		report := a.report(ctx, host)
		var orders wire.HeartbeatResponse
		err := a.plane.call(ctx, wire.HeartbeatPath, report, &orders)
		problem, isProblem := errors.AsType[*wire.Problem](err)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end cut the call short
		case err == nil:
			gone = 0
			failed.over()
			a.obey(orders)
		case isProblem && problem.Code == wire.CodeInstanceGone:
			if gone++; gone >= goneAfter {
				a.events.add("instance_gone", problem.Detail+" The node stops.")
				return errStop
			}
		default:
			failed.add("The control plane did not take a heartbeat: " + err.Error())
		}
		if a.desired() == wire.Stop {
			a.events.add("told_to_stop", "The control plane wants this node to stop.")
			return errStop
		}
		if !a.untilNextBeat(ctx) {
			return nil
		}
	}
}

// untilNextBeat waits, and reports false when ctx ended.
func (a *agent) untilNextBeat(ctx context.Context) bool {
	if !sleep(ctx, soonest) {
		return false
	}
	next := time.NewTimer(a.interval() - soonest)
	defer next.Stop()
	select {
	case <-next.C:
	case <-a.engine.Moved():
	case <-ctx.Done():
		return false
	}
	return true
}

// report collects what the node knows, and keeps it for the local pages.
func (a *agent) report(ctx context.Context, host *machine.Reader) wire.Heartbeat {
	gpus, err := machine.GPUs(ctx)
	if err != nil {
		a.noGPUs.add("The graphics processors' figures could not be read: " + err.Error())
	} else {
		a.noGPUs.over()
	}
	h := wire.Heartbeat{
		Protocol: wire.Protocol, InstanceID: a.cfg.Instance, BootID: a.boot,
		Time: time.Now().UTC(), UptimeSeconds: int64(time.Since(a.started).Seconds()),
		AgentVersion: a.cfg.Version, AgentChecksum: a.checksum,
		Engine: a.engine.Status(), Gauges: a.engine.Gauges(ctx), GPUs: gpus, Host: host.Read(ctx),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.latest = h
	return h
}

// farewell tells the control plane, once, that the engine has stopped.
func (a *agent) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var orders wire.HeartbeatResponse
	if err := a.plane.call(ctx, wire.HeartbeatPath, a.report(ctx, machine.NewReader(a.cfg.StateDir)), &orders); err != nil {
		a.log.DebugContext(ctx, "last heartbeat not sent", "err", err)
	}
}

// obey makes the control plane's orders the agent's.
func (a *agent) obey(orders wire.HeartbeatResponse) {
	a.mu.Lock()
	before := a.orders
	a.orders = orders
	a.mu.Unlock()
	if before.Desired != orders.Desired {
		a.events.add("desired_"+string(orders.Desired), "The control plane wants the node to "+string(orders.Desired)+".")
	}
	if orders.Desired == wire.Stop {
		return
	}
	if err := a.engine.Set(orders.Engine); err != nil {
		a.badSpec.add("The engine that the control plane names cannot be run: " + err.Error())
		return
	}
	a.badSpec.over()
	if err := a.memory.keep(orders); err != nil { // a full disk shall not stop the engine
		a.notKept.add("The orders could not be kept for the next start: " + err.Error())
		return
	}
	a.notKept.over()
}

// resume goes on with the orders of the last run until the control plane gives
// others.
func (a *agent) resume() {
	orders, found, err := a.memory.recall()
	if err != nil {
		a.events.add("orders_unreadable", "The last orders cannot be followed; the node waits for the control plane: "+err.Error())
	}
	if found {
		a.events.add("orders_resumed", "The node goes on with the last orders it was given.")
		a.obey(orders)
	}
}

func (a *agent) desired() wire.Desired {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders.Desired
}

func (a *agent) interval() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return wire.HeartbeatEvery(a.orders.HeartbeatSeconds)
}
