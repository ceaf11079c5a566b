package upstream_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
)

func TestTCP_speaksTLS(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	h.EnableHTTP2 = true
	h.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	h.StartTLS()
	t.Cleanup(h.Close)
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	config := &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
	s := upstream.New(upstream.TCP(&net.Dialer{}, h.Listener.Addr().String(), config))
	t.Cleanup(s.Close)
	for _, size := range []int{2, 100_000, 2} {
		text := strings.Repeat("x", size)
		if status, body, err := do(t, s, post(text)); status != 200 || body != text || err != nil {
			t.Fatalf("got %d, %d bytes, %v", status, len(body), err)
		}
	}
	if connections.Load() != 1 {
		t.Errorf("%d connections for three exchanges, want one", connections.Load())
	}
	config.ServerName = "other.example"
	wrong := upstream.New(upstream.TCP(&net.Dialer{}, h.Listener.Addr().String(), config))
	if _, _, err := do(t, wrong, post("{}")); err == nil {
		t.Error("a certificate for another name is believed")
	}
}
