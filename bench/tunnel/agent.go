package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
)

// links is how many connections an agent keeps to one address.
const links = tunnel.LinksPerAddress

// runAgent proxies to the engine, reached the way mode says. It prints the
// address of its control listener, and in the dialled modes its own.
func runAgent(ctx context.Context, mode, dir, engine, serve string) error {
	proxy := &proxy{engine: engine, rt: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(control.Addr())
	errs := make(chan error, links)
	switch mode {
	case "plain", "tls":
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println(ln.Addr())
		if mode == "tls" {
			conf, err := tlsConfig(dir)
			if err != nil {
				return err
			}
			ln = tls.NewListener(ln, conf)
		}
		go func() { errs <- (&http.Server{Handler: proxy}).Serve(ln) }()
	default:
		conf, err := tlsConfig(dir)
		if err != nil {
			return err
		}
		for range links {
			conn, err := tls.Dial("tcp", serve, conf)
			if err != nil {
				return err
			}
			if mode == "h2" {
				go func() { errs <- h2Server(proxy).Serve(oneConn(opaque{conn})) }()
			} else {
				go func() { _ = tunnel.Serve(ctx, conn, proxy, 0); errs <- nil }() // the driver has ended it
			}
		}
	}
	go func() { errs <- serveUntil(ctx, &http.Server{Handler: cpuHandler()}, control) }()
	return <-errs
}

// h2Server returns the server of the road not taken: HTTP/2 backwards.
func h2Server(h http.Handler) *http.Server {
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	s.Protocols.SetUnencryptedHTTP2(true)
	s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1024, MaxReadFrameSize: 64 << 10}
	return s
}

// opaque hides that a connection is TLS: net/http then asks nothing of ALPN.
type opaque struct{ net.Conn }

type single struct {
	net.Listener
	conn chan net.Conn
	addr net.Addr
}

// oneConn returns a listener that gives conn once.
func oneConn(conn net.Conn) net.Listener {
	c := make(chan net.Conn, 1)
	c <- conn
	return &single{conn: c, addr: conn.LocalAddr()}
}

func (s *single) Accept() (net.Conn, error) {
	c, ok := <-s.conn
	if !ok {
		return nil, errors.New("closed")
	}
	return c, nil
}
func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return s.addr }

// proxy forwards to the engine the way the agent does: the request is read to
// its end first, the answer is flushed as it comes.
type proxy struct {
	engine string
	rt     http.RoundTripper
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	req := r.Clone(r.Context())
	req.URL.Scheme, req.URL.Host = "http", p.engine
	req.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := p.rt.RoundTrip(req)
	if err != nil {
		http.Error(w, "engine", http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	flusher := http.NewResponseController(w)
	buf := make([]byte, 8<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			if resp.ContentLength < 0 {
				_ = flusher.Flush()
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

func cpuHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(cpu())
	})
}
