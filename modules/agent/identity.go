package agent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// identity is the node's key, its certificate while it has one, and the
// authority it trusts. It is safe for concurrent use.
type identity struct {
	cfg *Config
	key crypto.Signer
	ca  *x509.CertPool

	mu   sync.Mutex
	cert *tls.Certificate // nil before the join
}

// openIdentity reads the identity from the state directory, and makes the key
// when there is none yet. A certificate that is another instance's, another
// key's or over is left aside: the node has to join again.
func openIdentity(cfg *Config) (*identity, error) {
	id := &identity{cfg: cfg, ca: x509.NewCertPool()}
	raw, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "The control plane's certificate %s cannot be read.", cfg.CAFile).WithCause(err).WithField("ca-file")
	}
	if !id.ca.AppendCertsFromPEM(raw) {
		return nil, fault.Newf(fault.Invalid, "There is no certificate in %s.", cfg.CAFile).
			WithFix("It has to be the certificate of the control plane's authority, in PEM.").WithField("ca-file")
	}
	if id.key, err = openKey(cfg.file(keyFile)); err != nil {
		return nil, fmt.Errorf("open the node's key: %w", err)
	}
	raw, err = os.ReadFile(cfg.file(certificateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's certificate: %w", err)
	}
	if cert, err := id.parse(string(raw)); err == nil && time.Now().Before(cert.Leaf.NotAfter) {
		id.cert = cert
	}
	return id, nil
}

// openKey reads the key at path or makes one there that nobody else can read.
func openKey(path string) (crypto.Signer, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that cannot sign", path)
	}
	return signer, nil
}

func makeKey(path string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, replaceFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// replaceFile writes a file that only its owner can read, whole or not at all.
func replaceFile(path string, content []byte) error {
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// parse returns the certificate in text if it is this instance's and this
// key's.
func (id *identity) parse(text string) (*tls.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the certificate is not PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	named, err := wire.InstanceOf(leaf)
	if err != nil {
		return nil, err
	}
	if named != id.cfg.Instance {
		return nil, fmt.Errorf("the certificate is of instance %s", named)
	}
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(id.key.Public()) {
		return nil, errors.New("the certificate is of another key")
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: id.key, Leaf: leaf}, nil
}

// take makes text the node's certificate, from the next connection on, and
// keeps it for the next start.
func (id *identity) take(text string) error {
	cert, err := id.parse(text)
	if err != nil {
		return fmt.Errorf("take the certificate: %w", err)
	}
	if err := replaceFile(id.cfg.file(certificateFile), []byte(text)); err != nil {
		return fmt.Errorf("keep the certificate: %w", err)
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.cert = cert
	return nil
}

// certificate returns the certificate, nil before the join.
func (id *identity) certificate() *tls.Certificate {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.cert
}

// TLS returns the agent's end of a connection: the platform's authority and no
// other, the platform's name whatever the address, and the node's certificate.
func (id *identity) TLS() *tls.Config {
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: wire.ServerName, RootCAs: id.ca,
		NextProtos: []string{"http/1.1"}, // the tunnel begins with an upgrade
	}
	if cert := id.certificate(); cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	return conf
}

// token reads the join token.
func (id *identity) token() (wire.Secret, error) {
	raw, err := os.ReadFile(id.cfg.TokenFile)
	if err != nil {
		return "", fault.New(fault.Signin, "The node has no identity, and there is no join token to get one with.").
			WithFix("Reinstall the instance: that gives its node a new token.").WithCause(err)
	}
	text := strings.TrimSpace(string(raw))
	if text == "" {
		return "", fault.Newf(fault.Signin, "The join token in %s is empty.", id.cfg.TokenFile)
	}
	return wire.Secret(text), nil
}

// request returns what asks for a certificate for this key.
func (id *identity) request(boot uuid.UUID, checksum string) (wire.RegisterRequest, error) {
	csr, err := wire.NewCSR(id.key, id.cfg.Instance)
	return wire.RegisterRequest{
		Protocol: wire.Protocol, InstanceID: id.cfg.Instance, CSR: csr, BootID: boot,
		AgentVersion: id.cfg.Version, AgentChecksum: checksum,
	}, err
}
