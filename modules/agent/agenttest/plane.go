package agenttest

import (
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// Plane is a control plane that an agent can join: it takes one token, issues
// certificates, gives the orders it was given, and has a real hub.
type Plane struct {
	CA      *CA
	Hub     *tunnel.Hub
	Address string // host:port
	Token   wire.Secret

	beats chan wire.Heartbeat

	mu       sync.Mutex
	orders   wire.HeartbeatResponse
	life     time.Duration
	refuse   *wire.Problem
	register []wire.RegisterRequest
}

// NewPlane starts a control plane that wants engine run. It ends with the test.
func NewPlane(t testing.TB, engine wire.EngineSpec) *Plane {
	t.Helper()
	p := &Plane{
		CA: NewCA(t), Hub: tunnel.NewHub(nil), Token: wire.Secret("join-" + uuid.NewString()),
		beats: make(chan wire.Heartbeat, 1024), life: time.Hour,
		orders: wire.HeartbeatResponse{Desired: wire.Run, HeartbeatSeconds: 1, Engine: engine},
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", p.CA.Server())
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	p.Address = ln.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.RegisterPath, p.serveRegister)
	mux.HandleFunc("POST "+wire.HeartbeatPath, p.serveHeartbeat)
	mux.HandleFunc("GET "+wire.TunnelPath, p.serveTunnel)
	s := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(ln) }()
	t.Cleanup(func() {
		p.Hub.Close()
		_ = s.Close()
		<-served
	})
	return p
}

// Files writes the authority's certificate and the join token into dir, as a
// bootstrap does, and returns their paths.
func (p *Plane) Files(t testing.TB, dir string) (ca, token string) {
	t.Helper()
	ca, token = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "join-token")
	for path, text := range map[string]string{ca: p.CA.PEM(), token: string(p.Token) + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatalf("write %s: %v", path, err)
		}
	}
	return ca, token
}

// Order changes what the answers to heartbeats want from now on.
func (p *Plane) Order(orders wire.HeartbeatResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders = orders
}

// CertificateLife is how long certificates issued from now on are good.
func (p *Plane) CertificateLife(life time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = life
}

// Refuse answers every call with problem; nil ends that.
func (p *Plane) Refuse(problem *wire.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = problem
}

// Registered returns the requests for a certificate that were granted.
func (p *Plane) Registered() []wire.RegisterRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]wire.RegisterRequest(nil), p.register...)
}

// Until returns the first heartbeat from now on that ok takes, and fails the
// test after 20 seconds without one.
func (p *Plane) Until(t testing.TB, what string, ok func(wire.Heartbeat) bool) wire.Heartbeat {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case h := <-p.beats:
			if ok(h) {
				return h
			}
		case <-deadline:
			t.Fatalf("waited 20 s for a heartbeat: %s", what)
			panic("unreachable")
		}
	}
}

func (p *Plane) refused(w http.ResponseWriter) bool {
	p.mu.Lock()
	problem := p.refuse
	p.mu.Unlock()
	if problem == nil {
		return false
	}
	answer(w, problem.Status, problem)
	return true
}

func (p *Plane) serveRegister(w http.ResponseWriter, r *http.Request) {
	if p.refused(w) {
		return
	}
	var req wire.RegisterRequest
	if json.NewDecoder(r.Body).Decode(&req) != nil || req.Validate() != nil {
		answer(w, http.StatusUnprocessableEntity, &wire.Problem{Code: wire.CodeInvalidReport, Detail: "The request is not valid."})
		return
	}
	renews := len(r.TLS.PeerCertificates) > 0 && req.Token == ""
	if !renews && req.Token != p.Token {
		answer(w, http.StatusUnauthorized, &wire.Problem{Code: wire.CodeBootstrapInvalid, Detail: "The token is not one of ours."})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	cert, err := p.CA.Issue(req.CSR, p.life)
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, &wire.Problem{Code: wire.CodeInvalidReport, Detail: err.Error()})
		return
	}
	p.register = append(p.register, req)
	answer(w, http.StatusOK, wire.RegisterResponse{
		Certificate: cert, CA: p.CA.PEM(), HeartbeatSeconds: p.orders.HeartbeatSeconds, Desired: p.orders.Desired, Engine: p.orders.Engine,
	})
}

func (p *Plane) serveHeartbeat(w http.ResponseWriter, r *http.Request) {
	if p.refused(w) {
		return
	}
	var h wire.Heartbeat
	if err := json.NewDecoder(r.Body).Decode(&h); err != nil || len(r.TLS.PeerCertificates) == 0 {
		answer(w, http.StatusBadRequest, &wire.Problem{Code: "invalid_json", Detail: "The heartbeat cannot be read."})
		return
	}
	if err := h.Validate(time.Now()); err != nil {
		answer(w, http.StatusUnprocessableEntity, &wire.Problem{Code: wire.CodeInvalidReport, Detail: err.Error()})
		return
	}
	select {
	case p.beats <- h:
	default: // nobody reads them
	}
	p.mu.Lock()
	orders := p.orders
	p.mu.Unlock()
	answer(w, http.StatusOK, orders)
}

func (p *Plane) serveTunnel(w http.ResponseWriter, r *http.Request) {
	if p.refused(w) {
		return
	}
	if len(r.TLS.PeerCertificates) == 0 {
		answer(w, http.StatusUnauthorized, &wire.Problem{Code: "certificate_missing", Detail: "There is no certificate."})
		return
	}
	id, err := wire.InstanceOf(r.TLS.PeerCertificates[0])
	if err != nil {
		answer(w, http.StatusForbidden, &wire.Problem{Code: wire.CodeWrongInstance, Detail: err.Error()})
		return
	}
	conn, err := tunnel.Upgrade(w, r)
	if err != nil {
		answer(w, http.StatusUpgradeRequired, &wire.Problem{Code: wire.CodeUpgradeAgent, Detail: err.Error()})
		return
	}
	_ = p.Hub.Accept(id, conn)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
