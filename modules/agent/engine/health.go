package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// errSick is an engine that answers that it is not well.
var errSick = errors.New("engine is unhealthy")

// client asks engines on this machine; nothing is kept open between questions.
var client = &http.Client{
	Timeout:   5 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	},
}

// ask returns status and body, of at most limit bytes, of a GET.
func ask(ctx context.Context, address, path string, limit int64) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	return resp.StatusCode, body, err
}

// healthy returns nil when the engine says that it can serve: a 2xx of /health,
// or of /v1/models where there is no /health. The error is errSick when it
// answered otherwise.
func healthy(ctx context.Context, address string) error {
	status, _, err := ask(ctx, address, "/health", 4096)
	if err == nil && status == http.StatusNotFound {
		status, _, err = ask(ctx, address, "/v1/models", 1<<20)
	}
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	if status/100 != 2 {
		return errSick
	}
	return nil
}

// Healthy asks the engine whether it can serve, now; an engine without /health
// can when it lists its models. It returns nil when it can.
func (s *Supervisor) Healthy(ctx context.Context) error {
	address := s.Address()
	if address == "" {
		return errSick
	}
	return healthy(ctx, address)
}

// modelOf returns the first model that the engine lists, or the empty string.
func modelOf(ctx context.Context, address string) string {
	status, body, err := ask(ctx, address, "/v1/models", 1<<20)
	if err != nil || status != http.StatusOK {
		return ""
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &list) != nil || len(list.Data) == 0 {
		return ""
	}
	return list.Data[0].ID
}
