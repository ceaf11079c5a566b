package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"

	"github.com/google/uuid"
)

// ErrIdentity is returned for a certificate, or a request for one, that does
// not name exactly one instance.
var ErrIdentity = errors.New("not an instance's certificate")

// InstanceURI returns the name of an instance as its certificate carries it:
// inventiv://instance/<uuid>.
func InstanceURI(id uuid.UUID) *url.URL {
	return &url.URL{Scheme: "inventiv", Host: "instance", Path: "/" + id.String()}
}

// InstanceOf returns the instance a client certificate was issued to. It says
// nothing about whether the certificate is valid: that is TLS's to verify. The
// error wraps ErrIdentity.
func InstanceOf(cert *x509.Certificate) (uuid.UUID, error) {
	return instanceIn(cert.URIs)
}

func instanceIn(uris []*url.URL) (uuid.UUID, error) {
	if len(uris) != 1 {
		return uuid.Nil, fmt.Errorf("%w: it has %d names, not one", ErrIdentity, len(uris))
	}
	name := uris[0].String()
	id, err := uuid.Parse(uris[0].Path[min(1, len(uris[0].Path)):])
	if err != nil || id == uuid.Nil || name != InstanceURI(id).String() {
		return uuid.Nil, fmt.Errorf("%w: its name is %s", ErrIdentity, quote(name))
	}
	return id, nil
}

// NewCSR returns a certificate request, in PEM, for key in the name of the
// instance.
func NewCSR(key crypto.Signer, id uuid.UUID) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: id.String()},
		URIs:    []*url.URL{InstanceURI(id)},
	}, key)
	if err != nil {
		return "", fmt.Errorf("make certificate request: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// ParseCSR reads a request made by NewCSR and returns it with the instance it
// names. The request is signed by its own key, the key is P-256 or Ed25519, and
// there is no other name in it; the error wraps ErrIdentity otherwise.
func ParseCSR(text string) (*x509.CertificateRequest, uuid.UUID, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 {
		return nil, uuid.Nil, fmt.Errorf("%w: the request is not PEM", ErrIdentity)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, uuid.Nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	switch key := csr.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, uuid.Nil, fmt.Errorf("%w: its key is not P-256 or Ed25519", ErrIdentity)
		}
	default:
		return nil, uuid.Nil, fmt.Errorf("%w: its key is not P-256 or Ed25519", ErrIdentity)
	}
	if len(csr.DNSNames)+len(csr.EmailAddresses)+len(csr.IPAddresses) > 0 {
		return nil, uuid.Nil, fmt.Errorf("%w: it asks for other names", ErrIdentity)
	}
	id, err := instanceIn(csr.URIs)
	if err != nil {
		return nil, uuid.Nil, err
	}
	return csr, id, nil
}
