package wire

import (
	"time"

	"github.com/google/uuid"
)

// Heartbeat is what an agent reports. A figure the node cannot tell is absent:
// a nil pointer, never a zero or a guess.
type Heartbeat struct {
	Protocol      int           `json:"protocol"`
	InstanceID    uuid.UUID     `json:"instance_id"`
	BootID        uuid.UUID     `json:"boot_id"` // made anew by each start of the agent
	Time          time.Time     `json:"time"`    // the node's clock
	UptimeSeconds int64         `json:"uptime_seconds"`
	AgentVersion  string        `json:"agent_version"`
	AgentChecksum string        `json:"agent_checksum"`
	Engine        EngineStatus  `json:"engine"`
	Gauges        *EngineGauges `json:"gauges,omitempty"` // absent when the engine gave none
	GPUs          []GPU         `json:"gpus,omitempty"`
	Host          Host          `json:"host"`

	// Skew is set by Validate, never sent: the node's clock minus ours, when
	// they differ by more than MaxSkew. Both times are by ours then.
	Skew time.Duration `json:"-"`
}

// EngineState is how far the engine is.
type EngineState string

// The states of an engine, in the order in which it passes through them.
const (
	EngineStarting EngineState = "starting" // its process is being started
	EngineLoading  EngineState = "loading"  // it runs but does not answer yet
	EngineReady    EngineState = "ready"    // it answers
	EngineFailed   EngineState = "failed"   // it ended or never answered; it is started again after a pause
	EngineStopped  EngineState = "stopped"  // it was told to stop
)

// EngineStatus is the engine as the agent's supervisor sees it.
type EngineStatus struct {
	State       EngineState `json:"state"`
	Reason      string      `json:"reason,omitempty"`     // a sentence: why it is in this state
	LastError   string      `json:"last_error,omitempty"` // the last line the engine complained with, or why it could not be started
	Since       time.Time   `json:"since,omitzero"`       // when it came into this state
	Restarts    int         `json:"restarts"`             // of this spec, since the agent started
	Model       string      `json:"model,omitempty"`
	Fingerprint string      `json:"fingerprint,omitempty"` // of the spec it runs
}

// EngineGauges are the engine's own figures.
type EngineGauges struct {
	Running          *int64   `json:"running,omitempty"`           // requests being answered
	Waiting          *int64   `json:"waiting,omitempty"`           // requests in the engine's queue
	KVCacheUse       *float64 `json:"kv_cache_use,omitempty"`      // 0 to 1
	PromptTokens     *int64   `json:"prompt_tokens,omitempty"`     // since the engine started
	GenerationTokens *int64   `json:"generation_tokens,omitempty"` // since the engine started
}

// GPU is one graphics processor of the node.
type GPU struct {
	Index       int      `json:"index"`
	UUID        string   `json:"uuid,omitempty"`
	Name        string   `json:"name,omitempty"`
	Utilisation *float64 `json:"utilisation,omitempty"`  // percent, 0 to 100
	MemoryUsed  *int64   `json:"memory_used,omitempty"`  // bytes
	MemoryTotal *int64   `json:"memory_total,omitempty"` // bytes
	Temperature *float64 `json:"temperature,omitempty"`  // degrees Celsius
	Power       *float64 `json:"power,omitempty"`        // watts
}

// Host is the machine under the agent.
type Host struct {
	Hostname    string   `json:"hostname,omitempty"`
	CPUs        int      `json:"cpus,omitempty"`
	CPU         *float64 `json:"cpu,omitempty"` // percent of all processors since the last heartbeat
	Load1       *float64 `json:"load1,omitempty"`
	Load5       *float64 `json:"load5,omitempty"`
	Load15      *float64 `json:"load15,omitempty"`
	MemoryUsed  *int64   `json:"memory_used,omitempty"`  // bytes
	MemoryTotal *int64   `json:"memory_total,omitempty"` // bytes
	DiskUsed    *int64   `json:"disk_used,omitempty"`    // bytes, of the file system of the state directory
	DiskTotal   *int64   `json:"disk_total,omitempty"`   // bytes
	NetReceived *int64   `json:"net_received,omitempty"` // bytes since the machine started, loopback left out
	NetSent     *int64   `json:"net_sent,omitempty"`     // bytes since the machine started, loopback left out
}
