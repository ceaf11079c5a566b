package instance

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// register admits a node: with a join token the first time, with its
// certificate when it renews it.
func (s *Service) register(r *http.Request) (any, error) {
	ctx := r.Context()
	var req wire.RegisterRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	if err := req.Validate(); err != nil {
		return nil, invalid(err)
	}
	csr, named, err := wire.ParseCSR(req.CSR)
	if err != nil {
		return nil, &wire.Problem{Status: http.StatusUnprocessableEntity, Code: wire.CodeInvalidReport, Detail: sentence(err)}
	}
	if named != req.InstanceID {
		return nil, wrongInstance("The certificate request names another instance than the message.")
	}
	var renewing *x509.Certificate
	if cert := clientCertificate(r); cert != nil && req.Token == "" {
		who, err := s.identify(ctx, r)
		if err != nil {
			return nil, err
		}
		if who.id != req.InstanceID {
			return nil, wrongInstance("The certificate is another instance's.")
		}
		renewing = cert
	}
	cert, err := s.authority.admit(req.InstanceID, csr.PublicKey)
	if err != nil {
		return nil, err
	}
	organisation, err := s.admit(ctx, req, csr, cert, renewing)
	if err != nil {
		return nil, err
	}
	s.reconcile.Wake()
	engine, err := s.engine(ctx, organisation, req.InstanceID)
	if err != nil {
		return nil, err
	}
	return wire.RegisterResponse{
		Certificate:      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})),
		CA:               string(s.CAPEM()),
		HeartbeatSeconds: beatFast, Desired: wire.Run, Engine: engine,
	}, nil
}

func wrongInstance(why string) error {
	return &wire.Problem{Status: http.StatusForbidden, Code: wire.CodeWrongInstance, Detail: why}
}

// admit checks the token and records the certificate, in one transaction: of
// two nodes with one token only the first is admitted.
func (s *Service) admit(
	ctx context.Context, req wire.RegisterRequest, csr *x509.CertificateRequest, cert, renewing *x509.Certificate,
) (organisation uuid.UUID, err error) {
	key := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	var refused error // told after the commit: the flag has to stay
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		node, err := q.LockNode(ctx, req.InstanceID)
		if errors.Is(err, pgx.ErrNoRows) {
			return unknownToken()
		}
		if err != nil {
			return err
		}
		organisation = node.OrganisationID
		join := instancedb.JoinNodeParams{
			InstanceID: req.InstanceID, JoinKey: node.JoinKey, CertificateSerial: serialOf(cert),
			CertificateUntil: &cert.NotAfter, AgentVersion: req.AgentVersion, AgentChecksum: req.AgentChecksum,
		}
		if renewing != nil { // looked at before the lock was held
			if !State(node.State).hasAgent() || !current(renewing, node.CertificateSerial, node.PreviousSerial, node.CertificateUntil) {
				return goneProblem()
			}
			join.PreviousSerial = serialOf(renewing)
		} else {
			hash := sha256.Sum256([]byte(req.Token))
			if req.Token == "" || subtle.ConstantTimeCompare(hash[:], node.JoinTokenHash) != 1 {
				return unknownToken()
			}
			if !State(node.State).hasAgent() {
				return goneProblem()
			}
			if node.JoinKey != nil && subtle.ConstantTimeCompare(node.JoinKey, key[:]) != 1 {
				refused = &wire.Problem{
					Status: http.StatusUnauthorized, Code: wire.CodeBootstrapUsed,
					Detail: "The join token was used before, by a node with another key.",
					Fix:    "Find out who used it. The instance gets no requests until somebody uncordons or replaces it.",
				}
				return flag(ctx, tx, node, req)
			}
			if !node.JoinOpen {
				return unknownToken()
			}
			join.JoinKey, join.PreviousSerial = key[:], node.CertificateSerial
		}
		if err := q.JoinNode(ctx, join); err != nil {
			return err
		}
		if _, err := q.Connect(ctx, req.InstanceID); err != nil {
			return err
		}
		if renewing != nil {
			return nil
		}
		if err := q.WakeInstance(ctx, req.InstanceID); err != nil {
			return err
		}
		return tell(ctx, tx, organisation, req.InstanceID)
	})
	if err == nil && refused != nil {
		s.log.WarnContext(ctx, "join token used twice", "instance", req.InstanceID)
		return organisation, refused
	}
	if err != nil {
		return organisation, fmt.Errorf("admit the node: %w", err)
	}
	return organisation, nil
}

// flag keeps requests away from an instance whose token came a second time: one
// of the two who had it is not ours.
func flag(ctx context.Context, tx pgx.Tx, node instancedb.LockNodeRow, req wire.RegisterRequest) error {
	err := instancedb.New(tx).FlagInstance(ctx, instancedb.FlagInstanceParams{
		ID: node.InstanceID, Flag: string(ReasonBootstrapReused),
	})
	if err != nil {
		return err
	}
	err = auth.Audit(ctx, tx, auth.System(node.OrganisationID), "instance.bootstrap_reused", node.Name, map[string]any{
		"boot_id": req.BootID, "agent_version": req.AgentVersion,
	})
	if err != nil {
		return err
	}
	return tell(ctx, tx, node.OrganisationID, node.InstanceID)
}

func unknownToken() error {
	return &wire.Problem{
		Status: http.StatusUnauthorized, Code: wire.CodeBootstrapInvalid,
		Detail: "The join token is unknown, has expired, or belongs to another instance.",
		Fix:    "Reinstall the instance to get a new one.",
	}
}
