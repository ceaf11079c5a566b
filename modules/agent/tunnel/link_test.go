package tunnel_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/agenttest"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// TestHub_halfOpenLink_F21 takes as long as a dead peer may go unnoticed: the
// network between the two stops carrying anything, without a word to either.
func TestHub_halfOpenLink_F21(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	wall := newWall(t, b.address)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	conn, err := tunnel.Dial(ctx, wall.address, b.ca.Client(id))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- tunnel.Serve(ctx, conn, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), 0)
	}()
	b.until(func() bool { return b.hub.Connected(id) == 1 })
	resp, err := b.get(ctx, id, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()

	wall.up.Store(true)
	start := time.Now()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the answer of a dead node ended cleanly")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the control plane noticed after %s", took)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Serve = nil, want why the link ended")
		}
	case <-time.After(10*time.Second - time.Since(start)):
		t.Error("the agent did not notice within 10 s")
	}
	b.until(func() bool { return b.hub.Connected(id) == 0 })
}

// wall forwards connections until it is up; then it swallows everything.
type wall struct {
	address string
	up      atomic.Bool
}

func newWall(t *testing.T, target string) *wall {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wall{address: ln.Addr().String()}
	var conns []net.Conn
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			conns = append(conns, in, out)
			go w.carry(in, out)
			go w.carry(out, in)
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-served
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return w
}

func (w *wall) carry(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			if !w.up.Load() {
				_ = to.Close()
			}
			return
		}
		if !w.up.Load() {
			_, _ = to.Write(buf[:n])
		}
	}
}

func TestUpgrade_refusals(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	conf := b.ca.Client(id)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
	defer client.CloseIdleConnections()
	for name, header := range map[string]http.Header{
		"no upgrade":   {},
		"other":        {"Upgrade": {"websocket"}},
		"no protocol":  {"Upgrade": {wire.Upgrade}},
		"B35 too old":  {"Upgrade": {wire.Upgrade}, wire.ProtocolHeader: {"0"}},
		"B35 yamux":    {"Upgrade": {wire.Upgrade}, wire.ProtocolHeader: {"1"}},
		"B35 too new":  {"Upgrade": {wire.Upgrade}, wire.ProtocolHeader: {"99"}},
		"not a number": {"Upgrade": {wire.Upgrade}, wire.ProtocolHeader: {"one"}},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+b.address+wire.TunnelPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("%s: status %d, want 426", name, resp.StatusCode)
		}
	}
}

func TestDial_verifiesTheControlPlane(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	stranger := agenttest.NewCA(t)
	if _, err := tunnel.Dial(t.Context(), b.address, stranger.Client(id)); err == nil {
		t.Error("Dial trusts a server of another CA")
	}
	wrong := b.ca.Client(id)
	wrong.ServerName = "localhost"
	if _, err := tunnel.Dial(t.Context(), b.address, wrong); err == nil {
		t.Error("Dial trusts another name")
	}
}
