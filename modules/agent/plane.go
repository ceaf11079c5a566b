package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

const callTimeout = 10 * time.Second

// plane calls the control plane: any of its endpoints, since its state is in
// one database. It begins with the one that answered last.
type plane struct {
	endpoints []string
	id        *identity
	last      atomic.Int64
}

// call posts in to path and reads the answer into out. Endpoints that cannot be
// reached or are unwell are passed over; a refusal is returned as *wire.Problem.
func (p *plane) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("call the control plane: %w", err)
	}
	first := int(p.last.Load())
	var failures []error
	for i := range p.endpoints {
		at := (first + i) % len(p.endpoints)
		err := p.post(ctx, p.endpoints[at], path, body, out)
		problem, refused := errors.AsType[*wire.Problem](err)
		if err == nil || refused && problem.Status < http.StatusInternalServerError {
			p.last.Store(int64(at))
			return err
		}
		failures = append(failures, fmt.Errorf("call %s: %w", p.endpoints[at], err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failures...)
}

// post makes one call on a connection of its own, so that a certificate that
// was renewed or a control plane that moved is never an old connection's matter.
func (p *plane) post(ctx context.Context, endpoint, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+endpoint+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	t := &http.Transport{TLSClientConfig: p.id.TLS(), DisableKeepAlives: true}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return wire.ReadProblem(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, wire.MaxBody)).Decode(out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}
