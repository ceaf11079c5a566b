package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// pauses returns the pauses between attempts: they double from shortest to
// longest, with half of each left to chance.
func pauses(shortest, longest time.Duration) *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{InitialInterval: shortest, MaxInterval: longest, Multiplier: 2, RandomizationFactor: 0.5}
	b.Reset()
	return b
}

// sleep waits for d and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// final reports whether the control plane has refused for good: asking again
// with the same words gets the same answer.
func final(err error) bool {
	p, ok := errors.AsType[*wire.Problem](err)
	if !ok {
		return false
	}
	switch p.Code {
	case wire.CodeUpgradeAgent, wire.CodeBootstrapUsed, wire.CodeBootstrapInvalid, wire.CodeWrongInstance, wire.CodeInstanceGone:
		return true
	default:
		return false
	}
}

// refused turns a final refusal into a fault for whoever started the agent.
func refused(what string, err error) error {
	p, _ := errors.AsType[*wire.Problem](err)
	return fault.Newf(fault.Signin, "%s: %s", what, p.Detail).WithFix(p.Fix).WithKind(p.Code).WithCause(err)
}

// join gets the node its first certificate with the one-time token. It asks
// until it is answered; a refusal is a fault.Signin with the control plane's
// code as its kind.
func (a *agent) join(ctx context.Context) error {
	token, err := a.id.token()
	if err != nil {
		return err
	}
	req, err := a.id.request(a.boot, a.checksum)
	if err != nil {
		return err
	}
	req.Token = token
	failed := repeated{events: a.events, kind: "join_failed"}
	for pause := pauses(500*time.Millisecond, 15*time.Second); ; {
		err := a.register(ctx, req)
		if err == nil {
			break
		}
		if final(err) {
			a.events.add("join_refused", "The control plane refused the node: "+err.Error())
			return refused("The control plane refused the node", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed.add("The node could not join and asks again: " + err.Error())
		if !sleep(ctx, pause.NextBackOff()) {
			return ctx.Err()
		}
	}
	a.events.add("joined", "The node has joined and holds a certificate until "+a.id.certificate().Leaf.NotAfter.Format(time.RFC3339)+".")
	if err := os.Remove(a.cfg.TokenFile); err != nil {
		a.events.add("token_not_removed", "The used join token could not be removed: "+err.Error())
	}
	return nil
}

// register sends req, takes the certificate and follows the first orders.
func (a *agent) register(ctx context.Context, req wire.RegisterRequest) error {
	var resp wire.RegisterResponse
	if err := a.plane.call(ctx, wire.RegisterPath, req, &resp); err != nil {
		return err
	}
	if err := a.id.take(resp.Certificate); err != nil {
		return err
	}
	a.obey(wire.HeartbeatResponse{Desired: resp.Desired, HeartbeatSeconds: resp.HeartbeatSeconds, Engine: resp.Engine})
	return nil
}

// renew keeps the certificate fresh: it asks for the next one when two thirds
// of its life have passed, and again until it gets one. It returns nil when ctx
// ends, and a fault.Signin when the certificate is over or the control plane
// refuses another.
func (a *agent) renew(ctx context.Context) error {
	failed := repeated{events: a.events, kind: "renewal_failed"}
	for {
		leaf := a.id.certificate().Leaf
		life := leaf.NotAfter.Sub(leaf.NotBefore)
		if !sleep(ctx, time.Until(leaf.NotBefore.Add(life*2/3))) {
			return nil
		}
		for pause := pauses(min(5*time.Second, life/20), 5*time.Minute); ; {
			req, err := a.id.request(a.boot, a.checksum)
			if err == nil {
				err = a.register(ctx, req)
			}
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the end cut the call short
			}
			if final(err) {
				return refused("The control plane gives the node no new certificate", err)
			}
			if time.Now().After(leaf.NotAfter) {
				return fault.Newf(fault.Signin, "The node's certificate ended at %s and could not be renewed before.", leaf.NotAfter.Format(time.RFC3339)).
					WithFix("Reinstall the instance: that gives its node a new token.").WithKind("certificate_expired").WithCause(err)
			}
			failed.add("The certificate could not be renewed: " + err.Error())
			if !sleep(ctx, pause.NextBackOff()) {
				return nil
			}
		}
		failed.over()
		a.events.add("renewed", fmt.Sprintf("The node's certificate is renewed until %s.", a.id.certificate().Leaf.NotAfter.Format(time.RFC3339)))
	}
}
