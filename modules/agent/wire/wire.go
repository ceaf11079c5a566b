// Package wire is the protocol between the control plane and the agent on a
// node: three routes on the agents' listener, the JSON that goes through them,
// and the identity in the client certificate.
//
//	POST /internal/worker/register    join with a one-time token, or renew
//	POST /internal/worker/heartbeat   report, and be told what is wanted
//	GET  /internal/worker/tunnel      becomes a link that carries requests back
//
// The agent always asks. It joins by sending a token with a certificate
// request for a key that never leaves the node; every later call, the renewal
// included, is made with the client certificate it got. What the agent says is
// a claim: the control plane checks it with Validate and compares the instance
// with the certificate's.
//
// A refused call is answered with a Problem. The package knows the standard
// library only, so that both ends and every test can import it.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// The routes of the agents' listener.
const (
	RegisterPath  = "/internal/worker/register"
	HeartbeatPath = "/internal/worker/heartbeat"
	TunnelPath    = "/internal/worker/tunnel"
)

// ServerName is the DNS name in the control plane's certificate. Agents verify
// that name whatever address they dial, against the platform's own CA.
const ServerName = "inventiv"

// The tunnel route is a GET with these headers; it is answered with 101 and the
// connection then belongs to the tunnel.
const (
	// Upgrade is the value of the Upgrade header.
	Upgrade = "inventiv-tunnel"
	// ProtocolHeader carries the agent's protocol where there is no body.
	ProtocolHeader = "Inventiv-Protocol"
)

// Protocol is the version this binary speaks. The control plane accepts agents
// from Oldest on, which is the one before wherever that is possible, so that
// agents may be upgraded after it. Version 1 had another tunnel.
const (
	Protocol = 2
	Oldest   = 2
)

// The codes of a Problem that agents act on.
const (
	CodeUpgradeAgent     = "upgrade_agent"     // 426: the protocol is not spoken here
	CodeBootstrapUsed    = "bootstrap_used"    // 401: the token was used with another key
	CodeBootstrapInvalid = "bootstrap_invalid" // 401: unknown, expired, or another instance's
	CodeWrongInstance    = "wrong_instance"    // 403: certificate and body name different instances
	CodeInstanceGone     = "instance_gone"     // 403: the instance has ended; its certificate is void
	CodeInvalidReport    = "invalid_report"    // 422: a figure that cannot be true
)

// MaxBody bounds a request and an answer of the register and heartbeat routes,
// in bytes. A longer one is refused before it is read to its end.
const MaxBody = 1 << 20

// ErrProtocol is returned for an agent that is older than Oldest or newer than
// Protocol.
var ErrProtocol = errors.New("protocol not spoken")

// CheckProtocol says whether an agent that speaks version can be served: Oldest to
// Protocol. The error wraps ErrProtocol and is a sentence for people; it belongs
// in a 426 with CodeUpgradeAgent.
func CheckProtocol(version int) error {
	if Oldest <= version && version <= Protocol {
		return nil
	}
	side := "older"
	if version > Protocol {
		side = "newer"
	}
	return fmt.Errorf("%w: the agent speaks version %d, %s than this control plane's version %d allows",
		ErrProtocol, version, side, Protocol)
}

// Secret is a string that does not print: fmt and slog show a mask, JSON
// carries it.
type Secret string

// String returns a mask.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString returns the same mask as String.
func (s Secret) GoString() string { return s.String() }

// LogValue returns the same mask as String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// RegisterRequest joins with a token, or renews when it comes with a client
// certificate and without one. It may be repeated: the token admits the public
// key it was first used with, again and again while it lives, so that an answer
// lost on the way does not lock the node out.
type RegisterRequest struct {
	Protocol      int       `json:"protocol"`
	InstanceID    uuid.UUID `json:"instance_id"`
	Token         Secret    `json:"token,omitempty"`
	CSR           string    `json:"csr"` // PEM, made by NewCSR
	BootID        uuid.UUID `json:"boot_id"`
	AgentVersion  string    `json:"agent_version"`
	AgentChecksum string    `json:"agent_checksum"` // sha256 of the agent's file, in hex
}

// RegisterResponse gives the node its identity and its first orders.
type RegisterResponse struct {
	Certificate      string     `json:"certificate"` // PEM: the client certificate
	CA               string     `json:"ca"`          // PEM: what server certificates are verified against
	HeartbeatSeconds int        `json:"heartbeat_seconds"`
	Desired          Desired    `json:"desired"`
	Engine           EngineSpec `json:"engine"`
}

// HeartbeatEvery returns the wanted interval between heartbeats, kept between
// one second and a minute; ten seconds when the control plane says nothing.
func HeartbeatEvery(seconds int) time.Duration {
	if seconds <= 0 {
		return 10 * time.Second
	}
	return time.Duration(min(seconds, 60)) * time.Second
}

// Desired is what the control plane wants of a node.
type Desired string

// What may be wanted of a node.
const (
	Run   Desired = "run"   // serve
	Drain Desired = "drain" // finish what is running, report not ready
	Stop  Desired = "stop"  // stop the engine and end the agent
)

// HeartbeatResponse tells the agent what is wanted. The agent makes it so; it
// stops whatever the answer does not name.
type HeartbeatResponse struct {
	Desired          Desired    `json:"desired"`
	HeartbeatSeconds int        `json:"heartbeat_seconds"`
	Engine           EngineSpec `json:"engine"`
}

// Problem is the body of a refused call: RFC 9457 with a code.
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// Error returns the sentence for people with its status and code.
func (p *Problem) Error() string {
	text := p.Detail
	if p.Fix != "" {
		text += " " + p.Fix
	}
	return fmt.Sprintf("%s (%d %s)", text, p.Status, p.Code)
}

// ReadProblem returns what a refused call was answered with. An answer that is
// not a Problem, such as a load balancer's page, becomes one with the status
// and the code "unexpected_answer". It does not close the body.
func ReadProblem(resp *http.Response) *Problem {
	var p Problem
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || json.Unmarshal(raw, &p) != nil || p.Code == "" {
		p = Problem{Code: "unexpected_answer", Detail: "The control plane's address answered with " + resp.Status + "."}
	}
	p.Status = resp.StatusCode
	p.Detail, p.Fix = Clean(p.Detail, maxText), Clean(p.Fix, maxText)
	return &p
}
