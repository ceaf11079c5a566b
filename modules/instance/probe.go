package instance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

const (
	probeEvery  = 250 * time.Millisecond
	maxAnswer   = 1 << 20
	maxRestarts = 5 // of an engine that never gets ready
)

// probe goes through the tunnel to find out how far the engine is: it answers,
// it lists the model, it generates one token. None of it is metered.
func (s *Service) probe(ctx context.Context, c *claim) (outcome, error) {
	if s.hub.Connected(c.ID) == 0 {
		s.setAside(c.ID) // another process may have the tunnel
		if s.hub.Connected(c.ID) == 0 {
			return wait(ReasonWaitingTunnel, probeEvery, ""), nil
		}
		s.takeBack(c.ID) // it came up in between, and was told before
	}
	var err error
	why := ReasonWaitingEngine
	switch c.Step {
	case StepEngineHTTP:
		_, err = s.ask(ctx, c, http.MethodGet, "/health", nil)
	case StepModelLoaded:
		why, err = ReasonWaitingModel, s.listed(ctx, c)
	case StepFirstToken:
		why, err = ReasonWaitingToken, s.token(ctx, c)
	default:
		why, err = ReasonNodeSilent, s.verify(ctx, c)
	}
	if err == nil {
		return outcome{done: true}, nil
	}
	if errors.Is(err, tunnel.ErrNotConnected) {
		return wait(ReasonWaitingTunnel, probeEvery, ""), nil
	}
	return s.engineTrouble(ctx, c, why, err)
}

// probePause is short at first, for engines that load in a moment, and grows
// for those that load for minutes.
func probePause(attempts int) time.Duration {
	return min(100*time.Millisecond<<min(max(attempts-10, 0), 10), 5*time.Second)
}

// engineTrouble says why the engine is not ready, in its own words where the
// agent reported some.
func (s *Service) engineTrouble(ctx context.Context, c *claim, why Reason, cause error) (outcome, error) {
	out := wait(why, probePause(c.Attempts), "")
	out.failed = true
	node, err := s.nodeRow(ctx, c.ID)
	if err != nil {
		return out, err
	}
	if answer, ok := errors.AsType[*engineAnswer](cause); ok && answer.status >= 400 && c.Step == StepFirstToken {
		out.message = fmt.Sprintf("The engine refused to generate a token: %s", answer.text)
	}
	if node == nil {
		return out, nil
	}
	h := readHeartbeat(node.Heartbeat)
	if h == nil || h.Engine.State == wire.EngineReady {
		return out, nil
	}
	words := h.Engine.LastError
	if words == "" {
		words = h.Engine.Reason
	}
	if h.Engine.State == wire.EngineFailed && words != "" {
		out.message = "The engine has failed and is started again: " + words
	}
	if h.Engine.State == wire.EngineFailed && h.Engine.Restarts >= maxRestarts {
		return c.fail(ReasonEngineFailed, fmt.Sprintf("The engine was started %d times and never got ready: %s", h.Engine.Restarts+1, words)), nil
	}
	return out, nil
}

// engineAnswer is an answer other than 200.
type engineAnswer struct {
	status int
	text   string
}

// Error returns status and text.
func (e *engineAnswer) Error() string { return fmt.Sprintf("engine answered %d: %s", e.status, e.text) }

// ask sends one request to the engine of the instance and returns its answer.
func (s *Service) ask(ctx context.Context, c *claim, method, path string, body any) ([]byte, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.hub.Transport(c.ID).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &engineAnswer{resp.StatusCode, wire.Clean(string(raw), 500)}
	}
	return raw, nil
}

// listed succeeds when the engine lists the model under the name clients send.
func (s *Service) listed(ctx context.Context, c *claim) error {
	raw, err := s.ask(ctx, c, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return err
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("read the engine's models: %w", err)
	}
	for _, m := range list.Data {
		if m.ID == c.Model {
			return nil
		}
	}
	return fmt.Errorf("the engine does not list %s", c.Model)
}

// token succeeds when the engine has generated one token, or one embedding.
func (s *Service) token(ctx context.Context, c *claim) error {
	if c.Kind == "embedding" {
		raw, err := s.ask(ctx, c, http.MethodPost, "/v1/embeddings", map[string]any{"model": c.Model, "input": "ping"})
		if err != nil {
			return err
		}
		var answer struct {
			Data []struct {
				Embedding []float64 `json:"embedding"`
			} `json:"data"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil || len(answer.Data) == 0 || len(answer.Data[0].Embedding) == 0 {
			return errors.New("the engine's answer holds no embedding")
		}
		return nil
	}
	raw, err := s.ask(ctx, c, http.MethodPost, "/v1/chat/completions", map[string]any{
		"model": c.Model, "max_tokens": 1, "temperature": 0,
		"messages": []map[string]string{{"role": "user", "content": "ping"}},
	})
	if err != nil {
		return err
	}
	var answer struct {
		Choices []json.RawMessage `json:"choices"`
		Usage   struct {
			CompletionTokens int `json:"completion_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || len(answer.Choices) == 0 || answer.Usage.CompletionTokens < 1 {
		return errors.New("the engine's answer holds no token")
	}
	return nil
}

// verify succeeds when the node reports and still serves the model.
func (s *Service) verify(ctx context.Context, c *claim) error {
	if c.Connectivity != Online {
		return errors.New("the node does not report")
	}
	return s.listed(ctx, c)
}
