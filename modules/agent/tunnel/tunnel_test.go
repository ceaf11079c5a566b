package tunnel_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/agenttest"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a control plane with a listener, and nodes that may dial it.
type bundle struct {
	t       *testing.T
	ca      *agenttest.CA
	hub     *tunnel.Hub
	changed chan struct{}
	address string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, ca: agenttest.NewCA(t), changed: make(chan struct{}, 64)}
	b.hub = tunnel.NewHub(func(uuid.UUID) {
		select {
		case b.changed <- struct{}{}:
		default:
		}
	})
	ln, err := tls.Listen("tcp", "127.0.0.1:0", b.ca.Server())
	if err != nil {
		t.Fatal(err)
	}
	b.address = ln.Addr().String()
	s := &http.Server{
		ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(b.tunnel),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(ln) }()
	t.Cleanup(func() {
		b.hub.Close()
		_ = s.Close()
		<-served
	})
	return b
}

func (b *bundle) tunnel(w http.ResponseWriter, r *http.Request) {
	id, err := wire.InstanceOf(r.TLS.PeerCertificates[0])
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	conn, err := tunnel.Upgrade(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUpgradeRequired)
		return
	}
	_ = b.hub.Accept(id, conn)
}

// link dials through address and serves h until the returned function is
// called, which returns what Serve did.
func (b *bundle) link(id uuid.UUID, address string, grace time.Duration, h http.HandlerFunc) (leave func() error) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	before := b.hub.Connected(id)
	conn, err := tunnel.Dial(ctx, address, b.ca.Client(id))
	if err != nil {
		b.t.Fatalf("Dial = %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- tunnel.Serve(ctx, conn, h, grace) }()
	b.until(func() bool { return b.hub.Connected(id) == before+1 })
	leave = func() error { cancel(); err := <-ended; ended <- err; return err }
	b.t.Cleanup(func() { _ = leave() })
	return leave
}

// until waits for ok, looked at after each change of the hub's links.
func (b *bundle) until(ok func() bool) {
	b.t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-b.changed:
		case <-deadline:
			b.t.Fatal("the hub did not come to the state that was waited for")
		}
	}
}

func (b *bundle) get(ctx context.Context, id uuid.UUID, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.hub.Transport(id).RoundTrip(req)
}

// await returns what comes on c within 5 seconds.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(5 * time.Second):
		t.Fatalf("waited 5 s for %s", what)
		panic("unreachable")
	}
}

func TestTransport_carriesRequestAndAnswer(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	b.link(id, b.address, 0, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read request: %v", err)
		}
		w.Header().Set("X-Seen", r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Asked"))
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, strings.ToUpper(string(body)))
	})
	long := strings.Repeat("a long prompt ", 50_000) // more than a window
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://node/v1/x", strings.NewReader(long))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Asked", "yes")
	resp, err := b.hub.Transport(id).RoundTrip(req)
	if err != nil {
		t.Fatalf("RoundTrip = %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != strings.ToUpper(long) {
		t.Errorf("answer has %d bytes, %v; want %d", len(body), err, len(long))
	}
	if resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Seen") != "POST /v1/x yes" {
		t.Errorf("status %d, seen %q", resp.StatusCode, resp.Header.Get("X-Seen"))
	}
}

func TestTransport_bringsEachChunkAtOnce(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	next := make(chan struct{})
	b.link(id, b.address, 0, func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "chunk %d\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next: // the reader has it
			case <-r.Context().Done():
				return
			}
		}
	})
	resp, err := b.get(t.Context(), id, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	for i := range 3 {
		line, err := lines.ReadString('\n')
		if err != nil || line != fmt.Sprintf("chunk %d\n", i) {
			t.Fatalf("chunk %d = %q, %v", i, line, err)
		}
		next <- struct{}{}
	}
	if _, err := lines.ReadByte(); err != io.EOF {
		t.Errorf("after the last chunk: %v, want EOF", err)
	}
}

func TestTransport_cancelReachesTheHandler(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	running, cancelled := make(chan struct{}), make(chan struct{})
	b.link(id, b.address, 0, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
		}
		running <- struct{}{}
		<-r.Context().Done()
		cancelled <- struct{}{}
	})
	for _, path := range []string{"/stream", "/before-the-first-byte"} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan error, 1)
		go func() {
			resp, err := b.get(ctx, id, path)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			asked <- err
		}()
		await(t, "the request", running)
		start := time.Now()
		cancel()
		await(t, "the cancel", cancelled)
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: the cancel took %s", path, took)
		}
		if err := await(t, "the answer", asked); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the caller got %v, want context.Canceled", path, err)
		}
	}
}

func TestTransport_stalledReaderBlocksNobody(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	full := make(chan struct{})
	b.link(id, b.address, 0, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/flood" {
			fmt.Fprint(w, "quick")
			return
		}
		chunk := make([]byte, 32<<10)
		for sent := 0; ; sent += len(chunk) {
			if sent == 224<<10 { // this write does not fit into the window any more
				close(full)
			}
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	stalled, err := b.get(t.Context(), id, "/flood")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stalled.Body.Close() }()
	await(t, "a full window", full)
	for range 20 {
		start := time.Now()
		resp, err := b.get(t.Context(), id, "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != "quick" || err != nil || time.Since(start) > time.Second {
			t.Fatalf("beside a stalled reader: %q, %v after %s", body, err, time.Since(start))
		}
	}
}

func TestTransport_brokenAnswerIsAnError(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	for _, path := range []string{"/chunked", "/sized"} {
		b.link(id, b.address, 0, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/sized" {
				w.Header().Set("Content-Length", "1000")
			}
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		resp, err := b.get(t.Context(), id, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		b.hub.Drop(id)
		if rest, err := io.ReadAll(resp.Body); err == nil || len(rest) > 0 {
			t.Errorf("%s: a dropped link ends the answer with %q, %v; want an error", path, rest, err)
		}
		_ = resp.Body.Close()
		b.until(func() bool { return b.hub.Connected(id) == 0 })
	}
}

func TestTransport_takesTheIdlerLink(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	var one, two atomic.Int32
	hold := func(n *atomic.Int32) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}
	b.link(id, b.address, 0, hold(&one))
	b.link(id, b.address, 0, hold(&two))
	for range 10 {
		resp, err := b.get(t.Context(), id, "/")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
	}
	if one.Load() != 5 || two.Load() != 5 {
		t.Errorf("ten requests at once went %d and %d, want five each", one.Load(), two.Load())
	}
}

func TestTransport_withoutLinks(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	if _, err := b.get(t.Context(), id, "/"); !errors.Is(err, tunnel.ErrNotConnected) { //nolint:bodyclose // there is none
		t.Errorf("RoundTrip of an unknown instance = %v, want ErrNotConnected", err)
	}
	leave := b.link(id, b.address, 0, func(http.ResponseWriter, *http.Request) {})
	if err := leave(); err != nil {
		t.Errorf("Serve = %v, want nil when its context ends", err)
	}
	b.until(func() bool { return b.hub.Connected(id) == 0 })
	if _, err := b.get(t.Context(), id, "/"); !errors.Is(err, tunnel.ErrNotConnected) { //nolint:bodyclose // there is none
		t.Errorf("RoundTrip after the last link = %v, want ErrNotConnected", err)
	}
}

func TestServe_finishesWhatRunsAndTakesNoMore(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	running, finish := make(chan struct{}), make(chan struct{})
	leave := b.link(id, b.address, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		close(running)
		<-finish
		fmt.Fprint(w, "whole")
	})
	answer := make(chan string, 1)
	go func() {
		resp, err := b.get(t.Context(), id, "/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		answer <- fmt.Sprint(string(body), err)
	}()
	await(t, "the request", running)
	left := make(chan error, 1)
	go func() { left <- leave() }()
	for { // the agent's notice needs a moment to arrive
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := b.get(ctx, id, "/") //nolint:bodyclose // the handler answers nobody
		cancel()
		if errors.Is(err, tunnel.ErrNotConnected) {
			break
		}
	}
	close(finish)
	if got := await(t, "the answer", answer); got != "whole<nil>" {
		t.Errorf("the running request got %q", got)
	}
	if err := await(t, "the end", left); err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestHub_closeAndTooManyLinks(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	nothing := func(http.ResponseWriter, *http.Request) {}
	for range 16 {
		b.link(id, b.address, 0, nothing)
	}
	mine, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	if err := b.hub.Accept(id, mine); !errors.Is(err, tunnel.ErrTooManyLinks) {
		t.Errorf("Accept of link 17 = %v, want ErrTooManyLinks", err)
	}
	b.hub.Close()
	b.until(func() bool { return b.hub.Connected(id) == 0 })
	mine, theirs2 := net.Pipe()
	defer func() { _ = theirs2.Close() }()
	go func() { _, _ = io.Copy(io.Discard, theirs2) }()
	if err := b.hub.Accept(id, mine); !errors.Is(err, tunnel.ErrClosed) {
		t.Errorf("Accept after Close = %v, want ErrClosed", err)
	}
}
