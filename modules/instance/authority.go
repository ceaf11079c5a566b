package instance

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 30 * 24 * time.Hour
	clientLife    = 24 * time.Hour
	backdate      = 5 * time.Minute // for clocks that are a little behind
)

// authority is the platform's own certificate authority: it names nodes to the
// control plane and the control plane to nodes, and nothing else trusts it.
type authority struct {
	id   uuid.UUID // also names the installation
	cert *x509.Certificate
	key  crypto.Signer

	mu     sync.Mutex
	server *tls.Certificate
}

// openAuthority returns the database's authority. The first process of all
// makes it; the others wait for that one.
func openAuthority(ctx context.Context, pool *pgxpool.Pool, ring *keyring.Ring) (*authority, error) {
	var row instancedb.AuthorityRow
	err := db.InTx(ctx, pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		var err error
		if row, err = q.Authority(ctx); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err = q.LockAuthorities(ctx); err != nil {
			return err
		}
		if row, err = q.Authority(ctx); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if row, err = newAuthority(ring); err != nil {
			return err
		}
		return q.InsertAuthority(ctx, instancedb.InsertAuthorityParams(row))
	})
	if err != nil {
		return nil, fmt.Errorf("open the agents' authority: %w", err)
	}
	secret, err := ring.Open(authorityPlace(row.ID), row.KeySealed)
	if err != nil {
		return nil, fmt.Errorf("open the key of the agents' authority: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("read the key of the agents' authority: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("read the key of the agents' authority: it cannot sign")
	}
	cert, err := x509.ParseCertificate(row.Certificate)
	if err != nil {
		return nil, fmt.Errorf("read the agents' authority: %w", err)
	}
	return &authority{id: row.ID, cert: cert, key: key}, nil
}

func authorityPlace(id uuid.UUID) string {
	return keyring.Place("instance.authorities", "key_sealed", "", id.String())
}

func newAuthority(ring *keyring.Ring) (row instancedb.AuthorityRow, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return row, err
	}
	row.ID = uuid.New()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Inventiv agents " + row.ID.String()},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if row.Certificate, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		return row, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return row, err
	}
	row.KeySealed = ring.Seal(authorityPlace(row.ID), secret)
	return row, nil
}

// serial returns a random certificate number of 127 bits.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// pem returns the authority's certificate.
func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// admit issues a client certificate for the key to the instance.
func (a *authority) admit(id uuid.UUID, key crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: id.String()},
		URIs:      []*url.URL{wire.InstanceURI(id)},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(clientLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue a client certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// certificate returns the control plane's own, made anew when a third of its
// life is left.
func (a *authority) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil && time.Until(a.server.Leaf.NotAfter) > serverLife/3 {
		return a.server, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: wire.ServerName}, DNSNames: []string{wire.ServerName},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("issue the server certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a.server = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return a.server, nil
}

// CAPEM returns the certificate that agents verify the control plane with.
func (s *Service) CAPEM() []byte { return s.authority.pem() }

// TLSConfig returns what the agents' listener has to serve AgentHandler with:
// TLS 1.3, our own server certificate, client certificates verified when given.
func (s *Service) TLSConfig() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.authority.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: s.authority.certificate,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
		NextProtos: []string{"http/1.1"}, // the tunnel takes the connection over
	}
}
