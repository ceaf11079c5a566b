package instance_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/simengine"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// TestMain lets the test binary be three programs: the tests, the agent that
// the mock cloud starts, and a control plane that is made to crash.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("INVENTIV_AGENT_INSTANCE") != "":
		if err := runAgent(); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
			os.Exit(1)
		}
	case os.Getenv("CRASHING_CONTROL_PLANE") != "":
		if err := runControlPlane(); err != nil {
			fmt.Fprintln(os.Stderr, "control plane:", err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// runAgent is the smallest agent that speaks the real protocol: it joins,
// reports, and serves the simulator through the tunnel.
func runAgent() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := newAgent()
	if err != nil {
		return err
	}
	var joined wire.RegisterResponse
	for ctx.Err() == nil {
		if joined, err = a.join(ctx); err == nil {
			break
		}
		fmt.Fprintln(os.Stderr, "join:", err)
		pause(ctx, 100*time.Millisecond)
	}
	engine := simengine.New(joined.Engine.Sim, joined.Engine.Model)
	dialer := tunnel.Dialer{
		Endpoints: strings.Split(os.Getenv("INVENTIV_AGENT_ENDPOINT"), ","),
		TLS:       func() *tls.Config { return a.tls }, Handler: engine, Grace: time.Second,
		Lookup: func(_ context.Context, host string) ([]string, error) { return []string{host}, nil },
		Up:     func(string) {}, Down: func(string, error) {},
	}
	go dialer.Run(ctx)
	for ctx.Err() == nil {
		if err := a.beat(ctx, engine.Ready()); err != nil {
			fmt.Fprintln(os.Stderr, "heartbeat:", err)
		}
		pause(ctx, 200*time.Millisecond)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

type agent struct {
	id    uuid.UUID
	state string
	boot  uuid.UUID
	key   *ecdsa.PrivateKey
	ca    *x509.CertPool
	tls   *tls.Config
}

func newAgent() (*agent, error) {
	a := &agent{state: os.Getenv("INVENTIV_AGENT_STATE_DIR"), boot: uuid.New(), ca: x509.NewCertPool()}
	var err error
	if a.id, err = uuid.Parse(os.Getenv("INVENTIV_AGENT_INSTANCE")); err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(os.Getenv("INVENTIV_AGENT_CA_FILE"))
	if err != nil {
		return nil, err
	}
	a.ca.AppendCertsFromPEM(ca)
	path := filepath.Join(a.state, "key")
	raw, err := os.ReadFile(path)
	if err == nil {
		a.key, err = x509.ParseECPrivateKey(raw)
		return a, err
	}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if raw, err = x509.MarshalECPrivateKey(a.key); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return nil, err
	}
	return a, os.Rename(path+".new", path)
}

func (a *agent) join(ctx context.Context) (wire.RegisterResponse, error) {
	var answer wire.RegisterResponse
	token, err := os.ReadFile(os.Getenv("INVENTIV_AGENT_TOKEN_FILE"))
	if err != nil {
		return answer, err
	}
	csr, err := wire.NewCSR(a.key, a.id)
	if err != nil {
		return answer, err
	}
	a.tls = &tls.Config{RootCAs: a.ca, ServerName: wire.ServerName}
	err = a.post(ctx, wire.RegisterPath, wire.RegisterRequest{
		Protocol: wire.Protocol, InstanceID: a.id, Token: wire.Secret(token), CSR: csr, BootID: a.boot, AgentVersion: "test",
	}, &answer)
	if err != nil {
		return answer, err
	}
	block, _ := pem.Decode([]byte(answer.Certificate))
	a.tls = &tls.Config{
		RootCAs: a.ca, ServerName: wire.ServerName,
		Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: a.key}},
	}
	return answer, nil
}

func (a *agent) beat(ctx context.Context, ready bool) error {
	none := int64(0)
	h := wire.Heartbeat{
		Protocol: wire.Protocol, InstanceID: a.id, BootID: a.boot, Time: time.Now(), AgentVersion: "test",
		Engine: wire.EngineStatus{State: wire.EngineLoading, Since: time.Now()},
		Gauges: &wire.EngineGauges{Running: &none, Waiting: &none},
	}
	if ready {
		h.Engine.State = wire.EngineReady
	}
	return a.post(ctx, wire.HeartbeatPath, h, &wire.HeartbeatResponse{})
}

// post tries each endpoint in turn: a control plane may be dead.
func (a *agent) post(ctx context.Context, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	for endpoint := range strings.SplitSeq(os.Getenv("INVENTIV_AGENT_ENDPOINT"), ",") {
		client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{
			TLSClientConfig: a.tls, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", endpoint)
			},
		}}
		var req *http.Request
		if req, err = http.NewRequestWithContext(ctx, http.MethodPost, "https://"+wire.ServerName+path, bytes.NewReader(raw)); err != nil {
			return err
		}
		var resp *http.Response
		if resp, err = client.Do(req); err != nil {
			continue
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return wire.ReadProblem(resp)
		}
		return json.NewDecoder(resp.Body).Decode(into)
	}
	return err
}
