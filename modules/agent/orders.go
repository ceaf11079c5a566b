package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// memory keeps the last orders in the state directory, so that a node that
// starts while the control plane is away runs its engine again. It is safe for
// concurrent use.
type memory struct {
	path     string
	instance uuid.UUID

	mu   sync.Mutex
	kept []byte // what the file holds, as far as this run knows
}

// remembered is the file. How often to report is left out: it changes often,
// and matters only to a control plane that is there.
type remembered struct {
	Instance uuid.UUID       `json:"instance_id"`
	Desired  wire.Desired    `json:"desired"`
	Engine   wire.EngineSpec `json:"engine"` // its environment may hold secrets
}

// keep writes the orders down unless they are there already.
func (m *memory) keep(orders wire.HeartbeatResponse) error {
	text, err := json.Marshal(remembered{m.instance, orders.Desired, orders.Engine})
	if err != nil {
		return fmt.Errorf("write the orders: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if bytes.Equal(text, m.kept) {
		return nil
	}
	if err := replaceFile(m.path, text); err != nil {
		return fmt.Errorf("keep the orders: %w", err)
	}
	m.kept = text
	return nil
}

// recall returns the orders that were kept last, and whether there are any for
// this instance.
func (m *memory) recall() (orders wire.HeartbeatResponse, found bool, err error) {
	text, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return orders, false, nil
	}
	if err != nil {
		return orders, false, fmt.Errorf("read the orders: %w", err)
	}
	var last remembered
	if err := json.Unmarshal(text, &last); err != nil {
		return orders, false, fmt.Errorf("read the orders: %w", err)
	}
	return wire.HeartbeatResponse{Desired: last.Desired, Engine: last.Engine}, last.Instance == m.instance, nil
}

// forget removes the orders: the node is to do nothing at its next start until
// it is told to.
func (m *memory) forget() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = nil
	if err := os.Remove(m.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the orders: %w", err)
	}
	return nil
}
