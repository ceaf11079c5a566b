package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/tunnel"
)

const maxLog = 4 << 20 // bytes of one answer

// Log returns the last lines of an instance's log, oldest first, as its agent
// gives them: source is agent or engine. It fails with fault.NotFound for an
// instance that the organisation does not have, fault.Invalid for another
// source and fault.Unavailable when this process has no tunnel to the node.
func (s *Service) Log(ctx context.Context, organisation uuid.UUID, ref, source string, tail int) ([]byte, error) {
	i, err := s.byRef(ctx, organisation, ref)
	if err != nil {
		return nil, err
	}
	if source != "agent" && source != "engine" {
		return nil, fault.Newf(fault.Invalid, "There is no log named %q.", source).WithFix("Ask for agent or engine.").WithField("source")
	}
	query := url.Values{"source": {source}, "tail": {strconv.Itoa(min(max(tail, 1), 5000))}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node/logs?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the log: %w", err)
	}
	resp, err := s.hub.Transport(i.ID).RoundTrip(req)
	if errors.Is(err, tunnel.ErrNotConnected) {
		return nil, fault.New(fault.Unavailable, "The instance's node is not connected, so its log cannot be read now.").WithKind("node_not_connected")
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "The instance's node did not send its log.").WithCause(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxLog))
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fault.Newf(fault.Unavailable, "The instance's node answered %d instead of its log.", resp.StatusCode).WithCause(err)
	}
	return raw, nil
}
