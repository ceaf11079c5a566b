package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
)

// world is what the driver drives in one mode.
type world struct {
	base    string
	rt      http.RoundTripper
	engine  string
	control string // of the agent
}

// cell is one mode's figures.
type cell struct {
	serveReq, agentReq     time.Duration // CPU per small request, 64 at once
	serveChunk, agentChunk time.Duration // CPU per chunk, 64 streams as fast as they go
	servePaced, agentPaced time.Duration // CPU per chunk, 64 streams of one chunk each 10 ms
	first                  time.Duration // median time to the first byte, one at a time
	cancel                 time.Duration // slowest of 20 cancels to reach the engine
	beside                 time.Duration // time to first byte beside a reader that stalls
}

func drive(ctx context.Context, modes []string, rounds int) error {
	dir, err := os.MkdirTemp("", "tunnel-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := writeCerts(dir); err != nil {
		return err
	}
	best := make(map[string]cell)
	for range rounds {
		for _, mode := range modes {
			c, err := measure(ctx, mode, dir)
			if err != nil {
				return fmt.Errorf("%s: %w", mode, err)
			}
			if b, ok := best[mode]; ok {
				c = better(b, c)
			}
			best[mode] = c
		}
	}
	us := func(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e3, 'f', 2, 64) }
	fmt.Println("| mode | serve µs/request | agent µs/request | serve µs/chunk | agent µs/chunk | serve µs/chunk, paced | agent µs/chunk, paced | first byte ms | cancel ms | first byte beside a stalled reader ms |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 2, 64) }
	for _, mode := range modes {
		c := best[mode]
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", mode, us(c.serveReq), us(c.agentReq),
			us(c.serveChunk), us(c.agentChunk), us(c.servePaced), us(c.agentPaced), ms(c.first), ms(c.cancel), ms(c.beside))
	}
	return nil
}

func better(a, b cell) cell {
	return cell{
		min(a.serveReq, b.serveReq), min(a.agentReq, b.agentReq),
		min(a.serveChunk, b.serveChunk), min(a.agentChunk, b.agentChunk),
		min(a.servePaced, b.servePaced), min(a.agentPaced, b.agentPaced),
		min(a.first, b.first), min(a.cancel, b.cancel), min(a.beside, b.beside),
	}
}

// measure starts engine and agent in mode, runs every phase, and ends them.
func measure(ctx context.Context, mode, dir string) (c cell, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w, closeAll, err := build(ctx, mode, dir)
	if err != nil {
		return c, err
	}
	defer closeAll()
	if err := w.load(ctx, 64, 3000, "?chunks=0"); err != nil { // warm
		return c, err
	}
	if c.serveReq, c.agentReq, err = w.cost(ctx, 64, 20_000, 1, "?chunks=0"); err != nil {
		return c, err
	}
	if c.serveChunk, c.agentChunk, err = w.cost(ctx, 64, 1000, 200, "?chunks=200"); err != nil {
		return c, err
	}
	if c.servePaced, c.agentPaced, err = w.cost(ctx, 64, 64, 300, "?chunks=300&every=10ms"); err != nil {
		return c, err
	}
	if c.first, err = w.first(ctx, 300); err != nil {
		return c, err
	}
	if c.cancel, err = w.cancel(ctx, mode); err != nil {
		return c, err
	}
	c.beside, err = w.beside(ctx)
	return c, err
}

// cost runs n requests, workers at once, and returns the CPU time that driver
// and agent spent on each part of an answer.
func (w *world) cost(ctx context.Context, workers, n, parts int, query string) (serve, agent time.Duration, err error) {
	agent0, err := w.agentCPU(ctx)
	if err != nil {
		return 0, 0, err
	}
	serve0 := cpu()
	if err := w.load(ctx, workers, n, query); err != nil {
		return 0, 0, err
	}
	serve1 := cpu()
	agent1, err := w.agentCPU(ctx)
	per := time.Duration(n * parts)
	return (serve1 - serve0) / per, (agent1 - agent0) / per, err
}

func (w *world) load(ctx context.Context, workers, n int, query string) error {
	var next atomic.Int64
	var g sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		g.Go(func() {
			buf := make([]byte, 16<<10)
			for next.Add(1) <= int64(n) {
				if err := w.one(ctx, query, buf); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	g.Wait()
	close(errs)
	return <-errs
}

var body = bytes.Repeat([]byte("x"), 600)

func (w *world) send(ctx context.Context, query string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+"/v1/chat/completions"+query, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := w.rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, errors.New(resp.Status)
	}
	return resp, nil
}

func (w *world) one(ctx context.Context, query string, buf []byte) error {
	resp, err := w.send(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	for {
		if _, err := resp.Body.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (w *world) firstByte(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	resp, err := w.send(ctx, "?chunks=3")
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.ReadFull(resp.Body, make([]byte, 1))
	took := time.Since(start)
	_, _ = io.Copy(io.Discard, resp.Body)
	return took, err
}

func (w *world) first(ctx context.Context, n int) (time.Duration, error) {
	all := make([]time.Duration, n)
	for i := range all {
		var err error
		if all[i], err = w.firstByte(ctx); err != nil {
			return 0, err
		}
	}
	slices.Sort(all)
	return all[n/2], nil
}

// cancel leaves 20 streams and returns the longest time until the engine knew.
func (w *world) cancel(ctx context.Context, mode string) (longest time.Duration, err error) {
	for i := range 20 {
		id := mode + strconv.Itoa(i)
		left, stop := context.WithCancel(ctx)
		resp, err := w.send(left, "?chunks=100000&every=5ms&id="+id)
		if err != nil {
			stop()
			return 0, err
		}
		_, _ = io.ReadFull(resp.Body, make([]byte, 1))
		at := time.Now()
		stop()
		_ = resp.Body.Close()
		seen, err := w.cancelledAt(ctx, id)
		if err != nil {
			return 0, err
		}
		longest = max(longest, seen.Sub(at))
	}
	return longest, nil
}

func (w *world) cancelledAt(ctx context.Context, id string) (at time.Time, err error) {
	for range 500 {
		ok, err := get(ctx, "http://"+w.engine+"/cancelled?id="+id, &at)
		if ok || err != nil {
			return at, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return at, errors.New("the engine never learned of a cancel")
}

// beside opens one stream per link that nobody reads and times another one.
func (w *world) beside(ctx context.Context) (time.Duration, error) {
	for range links {
		resp, err := w.send(ctx, "?chunks=1000000")
		if err != nil {
			return 0, err
		}
		defer func() { _ = resp.Body.Close() }()
	}
	time.Sleep(500 * time.Millisecond) // until the window is full
	return w.first(ctx, 50)
}

func (w *world) agentCPU(ctx context.Context) (d time.Duration, err error) {
	_, err = get(ctx, "http://"+w.control, &d)
	return d, err
}

func get(ctx context.Context, url string, into any) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNotFound {
		return false, nil
	}
	return true, json.NewDecoder(resp.Body).Decode(into)
}

// build starts engine and agent and connects the driver to them.
func build(ctx context.Context, mode, dir string) (w *world, closeAll func(), err error) {
	engine, endEngine, err := child(ctx, 1, "-role", "engine")
	if err != nil {
		return nil, nil, err
	}
	w = &world{base: "http://engine", engine: engine[0]}
	plain := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	if mode == "plain" || mode == "tls" {
		out, end, err := child(ctx, 2, "-role", "agent", "-mode", mode, "-dir", dir, "-engine", engine[0])
		if err != nil {
			endEngine()
			return nil, nil, err
		}
		w.control, w.base, w.rt = out[0], "http://"+out[1], plain
		if mode == "tls" {
			w.base = "https://" + out[1]
			if plain.TLSClientConfig, err = tlsConfig(dir); err != nil {
				return nil, nil, err
			}
		}
		return w, func() { plain.CloseIdleConnections(); end(); endEngine() }, nil
	}
	conf, err := tlsConfig(dir)
	if err != nil {
		return nil, nil, err
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		return nil, nil, err
	}
	out, end, err := child(ctx, 1, "-role", "agent", "-mode", mode, "-dir", dir, "-engine", engine[0], "-serve", ln.Addr().String())
	if err != nil {
		endEngine()
		return nil, nil, err
	}
	w.control = out[0]
	hub, id := tunnel.NewHub(nil), uuid.New()
	both := &turns{}
	for range links {
		conn, err := ln.Accept()
		if err != nil {
			return nil, nil, err
		}
		if mode != "h2" {
			go func() { _ = hub.Accept(id, conn) }()
			continue
		}
		rt, err := h2Client(ctx, conn)
		if err != nil {
			return nil, nil, err
		}
		both.rts = append(both.rts, rt)
	}
	w.rt = both
	if mode != "h2" {
		w.rt = hub.Transport(id)
		for hub.Connected(id) < links {
			time.Sleep(time.Millisecond)
		}
	}
	return w, func() { hub.Close(); _ = ln.Close(); end(); endEngine() }, nil
}

// h2Client returns what sends requests back through conn as HTTP/2.
func h2Client(ctx context.Context, conn net.Conn) (http.RoundTripper, error) {
	t := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return opaque{conn}, nil },
		HTTP2:       &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 4 * time.Second, MaxReadFrameSize: 64 << 10},
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t.NewClientConn(ctx, "http", "engine:80")
}

// turns spreads requests over the links one after the other.
type turns struct {
	rts  []http.RoundTripper
	next atomic.Uint64
}

func (t *turns) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.rts[t.next.Add(1)%uint64(len(t.rts))].RoundTrip(r)
}

// child starts a copy of this program and returns the lines it prints first.
func child(ctx context.Context, lines int, args ...string) ([]string, func(), error) {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	end := func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() }
	r := bufio.NewScanner(out)
	var got []string
	for len(got) < lines && r.Scan() {
		got = append(got, r.Text())
	}
	if len(got) < lines {
		end()
		return nil, nil, errors.New("a child ended before it was ready")
	}
	return got, end, nil
}
