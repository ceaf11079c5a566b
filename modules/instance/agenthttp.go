package instance

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"golang.org/x/time/rate"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// AgentHandler serves the three routes of the agents' listener. It has to be
// served with TLSConfig: who calls is known by the client certificate alone.
func (s *Service) AgentHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.RegisterPath, s.answer(s.register))
	mux.HandleFunc("POST "+wire.HeartbeatPath, s.answer(s.heartbeat))
	mux.HandleFunc("GET "+wire.TunnelPath, s.openTunnel)
	return mux
}

// answer turns what a route returns into JSON.
func (s *Service) answer(route func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.limits.allow(r) {
			s.refuse(w, r, &wire.Problem{Status: http.StatusTooManyRequests, Code: "too_many_requests", Detail: "This agent sends more messages than it should."})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, wire.MaxBody)
		body, err := route(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body) // an agent that left asks again
	}
}

// refuse answers with a wire.Problem.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := errors.AsType[*wire.Problem](err)
	if !ok {
		s.log.ErrorContext(r.Context(), "agent request failed", "path", r.URL.Path, "err", err)
		p = &wire.Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "Internal error."}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// read decodes the body, and turns what cannot be read into a Problem.
func read(r *http.Request, into any) error {
	err := json.NewDecoder(r.Body).Decode(into)
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &wire.Problem{
			Status: http.StatusRequestEntityTooLarge, Code: "too_large",
			Detail: fmt.Sprintf("The message is longer than %d bytes.", tooLong.Limit),
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return &wire.Problem{Status: http.StatusBadRequest, Code: "invalid_json", Detail: "The message is not the JSON it should be."}
	}
	return nil
}

// invalid turns what Validate says into a Problem.
func invalid(err error) error {
	if errors.Is(err, wire.ErrProtocol) {
		return &wire.Problem{
			Status: http.StatusUpgradeRequired, Code: wire.CodeUpgradeAgent, Detail: sentence(err),
			Fix: fmt.Sprintf("Install the agent of this control plane; it speaks version %d.", wire.Protocol),
		}
	}
	return &wire.Problem{Status: http.StatusUnprocessableEntity, Code: wire.CodeInvalidReport, Detail: sentence(err)}
}

func sentence(err error) string { return "The report was refused: " + err.Error() + "." }

// identity is who calls, by a certificate that is still good.
type identity struct {
	id, organisation uuid.UUID
	serial           string
	generation       int32
	state            State
}

// identify returns who calls. An instance that has ended is refused at once,
// whatever its certificate says; so is a certificate that was replaced.
func (s *Service) identify(ctx context.Context, r *http.Request) (identity, error) {
	cert := clientCertificate(r)
	if cert == nil {
		return identity{}, &wire.Problem{
			Status: http.StatusUnauthorized, Code: "certificate_missing", Detail: "The call needs the certificate of an instance.",
			Fix: "Register with a join token first.",
		}
	}
	id, err := wire.InstanceOf(cert)
	if err != nil {
		return identity{}, &wire.Problem{Status: http.StatusForbidden, Code: wire.CodeWrongInstance, Detail: "The certificate names no instance."}
	}
	row, err := s.q().NodeIdentity(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return identity{}, goneProblem()
	}
	if err != nil {
		return identity{}, fmt.Errorf("look the certificate up: %w", err)
	}
	who := identity{id, row.OrganisationID, serialOf(cert), row.Generation, State(row.State)}
	if !who.state.hasAgent() || !current(cert, row.CertificateSerial, row.PreviousSerial, row.CertificateUntil) {
		return identity{}, goneProblem()
	}
	return who, nil
}

// clocks is how far those of two control planes may differ.
const clocks = 15 * time.Minute

// current reports whether cert is the last one that was issued to its instance
// or, until that has been seen, the one before. One that is newer than the last
// one on record is good, too: no certificate leaves before it is recorded, so
// the record was restored from a dump.
func current(cert *x509.Certificate, serial, previous string, until *time.Time) bool {
	mine := serialOf(cert)
	return mine == serial || mine == previous || until != nil && cert.NotAfter.After(until.Add(clocks))
}

func goneProblem() error {
	return &wire.Problem{
		Status: http.StatusForbidden, Code: wire.CodeInstanceGone,
		Detail: "The instance has ended or was installed anew; this certificate is void.",
	}
}

func clientCertificate(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

func serialOf(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }

// openTunnel makes the connection a link of the instance's tunnel and holds it
// until it ends.
func (s *Service) openTunnel(w http.ResponseWriter, r *http.Request) {
	who, err := s.identify(r.Context(), r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	conn, err := tunnel.Upgrade(w, r)
	switch {
	case errors.Is(err, wire.ErrProtocol):
		s.refuse(w, r, invalid(err))
		return
	case errors.Is(err, tunnel.ErrNotUpgrade):
		s.refuse(w, r, &wire.Problem{Status: http.StatusBadRequest, Code: "not_a_tunnel", Detail: "The request does not ask for a tunnel."})
		return
	case err != nil:
		s.log.WarnContext(r.Context(), "tunnel not opened", "instance", who.id, "err", err)
		return
	}
	if err := s.hub.Accept(who.id, conn); err != nil {
		s.log.DebugContext(r.Context(), "tunnel link ended", "instance", who.id, "err", err)
	}
}

// limits bounds how many messages one caller may send: an agent by its
// certificate, anybody else by address.
type limits struct {
	mu    sync.Mutex
	known *lru.Cache[string, *rate.Limiter]
}

const (
	perSecond = 5
	burst     = 20
	callers   = 8192
)

func newLimits() *limits {
	known, _ := lru.New[string, *rate.Limiter](callers) // only a size below one fails
	return &limits{known: known}
}

func (l *limits) allow(r *http.Request) bool {
	caller, _, _ := net.SplitHostPort(r.RemoteAddr)
	if cert := clientCertificate(r); cert != nil {
		caller = serialOf(cert)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.known.Get(caller)
	if !ok {
		limiter = rate.NewLimiter(perSecond, burst)
		if clientCertificate(r) == nil { // many nodes may share an address
			limiter = rate.NewLimiter(10*perSecond, 10*burst)
		}
		l.known.Add(caller, limiter)
	}
	return limiter.AllowN(time.Now(), 1)
}

// engine returns the engine that the instance shall run, its environment
// included.
func (s *Service) engine(ctx context.Context, organisation, id uuid.UUID) (wire.EngineSpec, error) {
	var spec wire.EngineSpec
	row, err := s.q().DeploymentEngine(ctx, id)
	if err != nil {
		return spec, fmt.Errorf("read the engine: %w", err)
	}
	return spec, s.readEngine(organisation, row, &spec)
}

func (s *Service) readEngine(organisation uuid.UUID, row instancedb.DeploymentEngineRow, spec *wire.EngineSpec) error {
	if err := json.Unmarshal(row.Engine, spec); err != nil {
		return fmt.Errorf("read the engine: %w", err)
	}
	if len(row.EngineEnv) == 0 {
		return nil
	}
	raw, err := s.keyring.Open(enginePlace(organisation, row.ID), row.EngineEnv)
	if err != nil {
		return fmt.Errorf("open the engine's environment: %w", err)
	}
	return json.Unmarshal(raw, &spec.Env)
}
