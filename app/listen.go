package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// listeners are the addresses a control plane answers at.
type listeners struct{ people, agents, metrics net.Listener }

// halfOpen is how a peer that vanished without a word is noticed: within 30 s.
var halfOpen = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// listen opens all of them or none.
func listen(ctx context.Context, people, agents, metrics string) (listeners, error) {
	var l listeners
	for _, want := range []struct {
		setting, address string
		into             *net.Listener
	}{{"INVENTIV_LISTEN", people, &l.people}, {"INVENTIV_AGENT_LISTEN", agents, &l.agents}, {"INVENTIV_METRICS_LISTEN", metrics, &l.metrics}} {
		lc := net.ListenConfig{KeepAliveConfig: halfOpen}
		ln, err := lc.Listen(ctx, "tcp", want.address)
		if err != nil {
			l.close()
			return listeners{}, notListening(want.setting, want.address, err)
		}
		*want.into = ln
	}
	return l, nil
}

func notListening(setting, address string, err error) error {
	f := fault.Newf(fault.Unavailable, "Nothing can listen at %s (%s).", address, setting).WithField(setting).WithCause(err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		f = fault.Newf(fault.Conflict, "Another program already listens at %s (%s).", address, setting).WithField(setting).
			WithFix("Stop it, or choose another address.").WithKind("port_in_use")
	case errors.Is(err, os.ErrPermission):
		f = f.WithFix("Ports below 1024 need more rights; choose a higher one.")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f = f.WithFix("That address is not one of this machine's.")
	}
	return fmt.Errorf("listen: %w", f)
}

func (l listeners) close() {
	for _, ln := range []net.Listener{l.people, l.agents, l.metrics} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}
