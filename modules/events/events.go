package events

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// channel is the PostgreSQL channel that all processes listen on.
const channel = "inventiv"

// The topics. Their keys are ids, but for Usage and Reset, which have none.
const (
	Instance   = "instance"
	Deployment = "deployment"
	Endpoint   = "endpoint"
	Key        = "key"
	Limit      = "limit"
	Member     = "member"
	Model      = "model"
	Charge     = "charge"
	Usage      = "usage" // at most one a second
	Reset      = "reset" // everything may have changed
)

// Event says that something of an organisation changed. A nil organisation
// means the platform: only its operators are told.
type Event struct {
	Topic        string    `json:"t"`
	Key          string    `json:"k"`
	Organisation uuid.UUID `json:"o"`
}

// Post tells every process once tx commits. It is for changes of state, a few a
// second at most: a commit that notifies takes a server-wide lock.
func Post(ctx context.Context, tx pgx.Tx, e Event) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	if _, err := tx.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, string(payload)); err != nil {
		return fmt.Errorf("post the event: %w", err)
	}
	return nil
}
