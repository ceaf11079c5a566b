package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

const (
	canaryEvery    = 10 * time.Second
	canaryTime     = 5 * time.Second // for one to be answered
	canaryAnswer   = 1 << 20
	canariesAtOnce = 64
)

// sendCanaries is a pass: it lets every instance that has generated nothing
// lately generate one token, through the same tunnel as requests. An engine
// whose process has died while its API answers is found out by nothing less. No
// usage record is made of it. Left alone are endpoints, whose tokens may cost,
// and an instance that nothing could take the place of anyway, but for one that
// is set aside: it would look so until somebody asks for it.
func (s *Service) sendCanaries(ctx context.Context) (int, error) {
	var changed atomic.Int64
	var all errgroup.Group
	all.SetLimit(canariesAtOnce)
	for _, r := range s.table.Load().routes {
		if len(r.targets) < 2 && len(r.instead) == 0 && (len(r.targets) == 0 || r.serves()) {
			continue
		}
		for _, t := range r.targets {
			if t.endpoint {
				continue
			}
			if now := s.now(); !t.replica.Ejected() && now-t.replica.LastMoved() < canaryEvery {
				t.replica.CanaryPassed(now) // its tokens say the same
				continue
			}
			all.Go(func() error {
				if s.judge(ctx, t, s.canary(ctx, t)) {
					changed.Add(1)
				}
				return nil
			})
		}
	}
	err := all.Wait()
	return int(changed.Load()), err //nolint:wrapcheck // there is none
}

// judge takes up what became of a canary, and reports whether the target was
// ejected or brought back by it.
func (s *Service) judge(ctx context.Context, t *target, why error) (changed bool) {
	switch {
	case ctx.Err() != nil || errors.Is(why, errBusy): // no finding
		return false
	case why == nil:
		if changed = t.replica.CanaryPassed(s.now()); changed {
			s.back(ctx, t)
		}
	default:
		if changed = t.replica.CanaryFailed(s.now()); changed {
			s.log.WarnContext(ctx, "canaries failed", "id", t.id, "err", why)
			s.ejected(ctx, t, balance.Canary)
		}
	}
	return changed
}

// errBusy says that a server is alive and has no time for a canary.
var errBusy = errors.New("it is busy")

// canary asks a target for one token.
func (s *Service) canary(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, canaryTime)
	defer cancel()
	kind, question := openai.Chat, map[string]any{
		"model": t.model, "max_tokens": 1, "temperature": 0, "messages": []map[string]string{{"role": "user", "content": "ping"}},
	}
	if t.embeds {
		kind, question = openai.Embeddings, map[string]any{"model": t.model, "input": "ping"}
	}
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("write the question: %w", err)
	}
	res, err := t.server.Do(ctx, &upstream.Request{Head: t.heads[kind], Body: [][]byte{body}, Patience: canaryTime})
	if err != nil {
		return fmt.Errorf("ask for a token: %w", err)
	}
	defer res.Close()
	text, err := io.ReadAll(io.LimitReader(res, canaryAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	case res.Status == http.StatusTooManyRequests:
		return errBusy
	case res.Status != http.StatusOK:
		return fmt.Errorf("it answers with status %d", res.Status)
	}
	usage, known, err := openai.ParseAnswer(text)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	if known && usage.Completion == 0 && !t.embeds {
		return errors.New("its answer holds no token")
	}
	return nil
}
