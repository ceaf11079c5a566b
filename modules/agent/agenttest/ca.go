// Package agenttest has the far end of the agents' protocol for tests: a CA and a
// control plane that agents can join. Everything is real but the decisions:
// TLS, certificates, tunnel.
package agenttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// CA is a certificate authority for one test. It is safe for concurrent use.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// NewCA returns a new authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{t: t, key: newKey(t), pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca.cert = ca.sign(template, template, &ca.key.PublicKey)
	ca.pool.AddCert(ca.cert)
	return ca
}

// PEM returns the authority's certificate.
func (ca *CA) PEM() string { return certPEM(ca.cert.Raw) }

// Server returns the control plane's TLS: a certificate for wire.ServerName,
// client certificates verified when there are any.
func (ca *CA) Server() *tls.Config {
	ca.t.Helper()
	key := newKey(ca.t)
	cert := ca.sign(&x509.Certificate{
		SerialNumber: serial(ca.t), DNSNames: []string{wire.ServerName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca.cert, &key.PublicKey)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		ClientCAs:    ca.pool, ClientAuth: tls.VerifyClientCertIfGiven,
		NextProtos: []string{"http/1.1"},
	}
}

// Client returns the TLS of a node that has joined as instance id.
func (ca *CA) Client(id uuid.UUID) *tls.Config {
	ca.t.Helper()
	key := newKey(ca.t)
	csr, err := wire.NewCSR(key, id)
	if err != nil {
		ca.t.Fatalf("make certificate request: %v", err)
	}
	text, err := ca.Issue(csr, time.Hour)
	if err != nil {
		ca.t.Fatalf("issue certificate: %v", err)
	}
	block, _ := pem.Decode([]byte(text))
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: wire.ServerName, RootCAs: ca.pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: key}},
		NextProtos:   []string{"http/1.1"},
	}
}

// Issue returns, in PEM, a client certificate for the instance that the request
// names, good for life from now on.
func (ca *CA) Issue(csr string, life time.Duration) (string, error) {
	req, _, err := wire.ParseCSR(csr)
	if err != nil {
		return "", err
	}
	cert := ca.sign(&x509.Certificate{
		SerialNumber: serial(ca.t), URIs: req.URIs,
		NotBefore: time.Now().Add(-time.Second), NotAfter: time.Now().Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca.cert, req.PublicKey)
	return certPEM(cert.Raw), nil
}

func (ca *CA) sign(template, parent *x509.Certificate, public any) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, ca.key)
	if err != nil {
		panic("agenttest: sign certificate: " + err.Error()) // Issue runs outside the test's goroutine
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic("agenttest: parse certificate: " + err.Error())
	}
	return cert
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("make serial number: %v", err)
	}
	return n
}
