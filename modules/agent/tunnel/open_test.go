package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
)

// gateway is what asks through streams that are kept, as the gateway does. It
// counts them.
func (b *bundle) gateway(id uuid.UUID) (s *upstream.Server, opened func() int) {
	var mu sync.Mutex
	n := 0
	s = upstream.New(func(context.Context) (upstream.Conn, error) {
		mu.Lock()
		n++
		mu.Unlock()
		stream, err := b.hub.Open(id)
		if err != nil {
			return nil, err
		}
		return stream, nil
	})
	b.t.Cleanup(s.Close)
	return s, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func request(body string) *upstream.Request {
	return &upstream.Request{
		Head: []byte("POST /v1/x HTTP/1.1\r\nHost: node\r\n"), Body: [][]byte{[]byte(body)}, Patience: 10 * time.Second,
	}
}

func TestOpen_keepsStreamsForManyRequests(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	for range tunnel.LinksPerAddress {
		b.link(id, b.address, 0, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("read request: %v", err)
			}
			for _, piece := range strings.SplitAfter(string(body), ",") {
				fmt.Fprint(w, strings.ToUpper(piece))
				_ = http.NewResponseController(w).Flush()
			}
		})
	}
	s, opened := b.gateway(id)
	const clients, each = 32, 40
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for j := range each {
				body := fmt.Sprintf("from %d, the %dth, %s", i, j, strings.Repeat("long,", i*j%300))
				a, err := s.Do(t.Context(), request(body))
				if err != nil {
					t.Errorf("Do = %v", err)
					return
				}
				text, err := io.ReadAll(a)
				a.Close()
				if err != nil || string(text) != strings.ToUpper(body) {
					t.Errorf("%.40q was answered with %.40q, %v", body, text, err)
				}
			}
		})
	}
	all.Wait()
	if n := opened(); n > clients {
		t.Errorf("%d streams for %d clients", n, clients)
	}
}

func TestOpen_cancelReachesTheHandler(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	running, cancelled := make(chan struct{}, 1), make(chan struct{}, 1)
	b.link(id, b.address, 0, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		_ = http.NewResponseController(w).Flush()
		running <- struct{}{}
		<-r.Context().Done()
		cancelled <- struct{}{}
	})
	s, _ := b.gateway(id)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := s.Do(ctx, request("begun"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the request", running)
	start := time.Now()
	cancel()
	if _, err := io.ReadAll(a); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	a.Close()
	await(t, "the cancel", cancelled)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the cancel took %s", took)
	}
}

// An answer whose link dies is no whole answer, and the next request finds
// another link, or is told that there is none.
func TestOpen_aLinkThatDies(t *testing.T) {
	t.Parallel()
	b, id := setup(t), uuid.New()
	begun := make(chan struct{}, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		if string(body) == "long" {
			begun <- struct{}{}
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
	}
	leave := b.link(id, b.address, 0, h)
	s, _ := b.gateway(id)
	a, err := s.Do(t.Context(), request("long"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the answer", begun)
	b.link(id, b.address, 0, h)
	_ = leave()
	if text, err := io.ReadAll(a); !errors.Is(err, io.ErrUnexpectedEOF) || string(text) != "data: one\n\n" {
		t.Errorf("an answer whose link died ends with %q, %v", text, err)
	}
	a.Close()
	b.until(func() bool { return b.hub.Connected(id) == 1 })
	for range 3 {
		if a, err = s.Do(t.Context(), request("short")); err != nil {
			t.Fatalf("on the other link: %v", err)
		}
		if text, err := io.ReadAll(a); err != nil || string(text) != "data: one\n\n" {
			t.Errorf("on the other link: %q, %v", text, err)
		}
		a.Close()
	}
	b.hub.Drop(id)
	b.until(func() bool { return b.hub.Connected(id) == 0 })
	if _, err := s.Do(t.Context(), request("short")); !errors.Is(err, tunnel.ErrNotConnected) {
		t.Errorf("without a link: %v", err)
	}
}
