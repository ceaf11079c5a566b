package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/simengine"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// sim is the simulator on a port of its own.
type sim struct {
	at     string
	server *http.Server
	gone   chan struct{}
	reason string // written before gone is closed
}

func startSim(spec wire.EngineSpec) (running, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0") //nolint:forbidigo // listening does not wait
	if err != nil {
		return nil, fmt.Errorf("listen for the simulator: %w", err)
	}
	simulator := simengine.New(spec.Sim, spec.Model)
	s := &sim{
		at: ln.Addr().String(), gone: make(chan struct{}),
		server: &http.Server{
			Handler: simulator, ReadHeaderTimeout: time.Minute,
			ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // the fault "die" panics on purpose
		},
	}
	if simulator.Failed() {
		s.reason = "The simulator was told to fail while it loads."
		close(s.gone)
		return s, ln.Close()
	}
	go func() {
		defer close(s.gone)
		s.reason = fmt.Sprintf("The simulator ended: %v.", s.server.Serve(ln))
	}()
	return s, nil
}

func (s *sim) address() string { return s.at }

func (s *sim) ended() <-chan struct{} { return s.gone }

func (s *sim) why() (reason, line string) {
	select {
	case <-s.gone:
		return s.reason, ""
	default:
		return "", ""
	}
}

func (s *sim) stop() {
	_ = s.server.Close()
	<-s.gone
}
