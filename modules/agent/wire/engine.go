package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"
)

// EngineKind says who runs the OpenAI-compatible server on the node.
type EngineKind string

// The engines an agent can run.
const (
	EngineSim  EngineKind = "sim"  // the simulator built into the agent
	EngineExec EngineKind = "exec" // any command, supervised by the agent
)

// PortMark is replaced by the port the engine has to listen on, wherever it
// stands in the command or in an environment value of an exec engine.
const PortMark = "{port}"

// EngineSpec is the engine a node shall run. Two specs with one Fingerprint are
// the same engine; another one replaces what runs.
type EngineSpec struct {
	Kind    EngineKind        `json:"kind"`
	Model   string            `json:"model"`             // the name requests carry
	Command []string          `json:"command,omitempty"` // exec: program and arguments, no shell
	Env     map[string]string `json:"env,omitempty"`     // exec: added to a minimal environment; may hold secrets
	// StartSeconds is how long the engine may take from its start until it
	// answers, in seconds; 0 leaves it to the agent (30 minutes).
	StartSeconds int     `json:"start_seconds,omitempty"`
	Sim          SimSpec `json:"sim,omitzero"` // sim
}

// SimSpec says how the simulator behaves. The zero value answers at once and as
// fast as it can.
type SimSpec struct {
	LoadMillis       int        `json:"load_ms,omitempty"`           // from start to ready
	FirstTokenMillis int        `json:"first_token_ms,omitempty"`    // from request to first token
	TokensPerSecond  float64    `json:"tokens_per_second,omitempty"` // per request; 0: no limit
	MaxModelLen      int        `json:"max_model_len,omitempty"`     // prompt and answer, in tokens; 0: 32768
	MaxRunning       int        `json:"max_running,omitempty"`       // requests at once, the rest wait; 0: 256
	Faults           []SimFault `json:"faults,omitempty"`
}

// SimFault makes the simulator misbehave on purpose.
type SimFault struct {
	Kind SimFaultKind `json:"kind"`
	// Every n-th inference request has the fault: 1, and 0, mean all of them.
	Every int `json:"every,omitempty"`
	// AfterTokens is how many tokens are sent before die and hang happen; 0
	// means before the first byte of the answer.
	AfterTokens int `json:"after_tokens,omitempty"`
}

// SimFaultKind names a misbehaviour.
type SimFaultKind string

// What the simulator can do wrong.
const (
	FaultLoad    SimFaultKind = "load"     // never gets ready; the engine fails with a reason
	FaultDie     SimFaultKind = "die"      // cuts the connection
	FaultHang    SimFaultKind = "hang"     // sends nothing more until the client leaves
	FaultError   SimFaultKind = "error"    // answers 500 in vLLM's shape
	FaultBusy    SimFaultKind = "busy"     // answers 429 with Retry-After
	FaultGarbage SimFaultKind = "garbage"  // answers 200 with something that is not JSON
	FaultNoUsage SimFaultKind = "no_usage" // leaves usage out
)

// Limits of an EngineSpec.
const (
	maxModelName = 512
	maxArguments = 512
	maxArgument  = 32 << 10
	maxVariables = 256
	maxFaults    = 16
)

// Fingerprint identifies the spec: equal specs have equal fingerprints on both
// sides of the wire. It is a hash, so the secrets in Env do not show.
func (s EngineSpec) Fingerprint() string {
	raw, err := json.Marshal(s) // map keys are sorted
	if err != nil {
		return "" // only a NaN in Sim, which Validate refuses
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// LogValue shows the spec without the values of its environment.
func (s EngineSpec) LogValue() slog.Value {
	names := make([]string, 0, len(s.Env))
	for name := range s.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	return slog.GroupValue(
		slog.String("kind", string(s.Kind)),
		slog.String("model", s.Model),
		slog.String("fingerprint", s.Fingerprint()),
		slog.Any("env", names),
	)
}

// Validate says whether an agent can run the spec. The error is an *Invalid.
func (s EngineSpec) Validate() error {
	if s.Model == "" || len(s.Model) > maxModelName || !clean(s.Model) {
		return &Invalid{"engine.model", "must be a name of 1 to 512 bytes without control characters"}
	}
	if s.StartSeconds < 0 || s.StartSeconds > 86400 {
		return &Invalid{"engine.start_seconds", "must be between 0 and 86400"}
	}
	switch s.Kind {
	case EngineSim:
		return s.Sim.validate()
	case EngineExec:
		return s.validateExec()
	default:
		return &Invalid{"engine.kind", `must be "sim" or "exec"`}
	}
}

func (s EngineSpec) validateExec() error {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return &Invalid{"engine.command", "must name a program"}
	}
	if len(s.Command) > maxArguments {
		return &Invalid{"engine.command", "has more than 512 arguments"}
	}
	for _, arg := range s.Command {
		if len(arg) > maxArgument || strings.ContainsRune(arg, 0) || !utf8.ValidString(arg) {
			return &Invalid{"engine.command", "has an argument that is too long, not UTF-8, or holds a zero byte"}
		}
	}
	if !slices.ContainsFunc(s.Command, hasPort) && !hasPortValue(s.Env) {
		return &Invalid{"engine.command", "must say where the port goes, with " + PortMark}
	}
	if len(s.Env) > maxVariables {
		return &Invalid{"engine.env", "has more than 256 variables"}
	}
	for name, value := range s.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || len(name) > 256 ||
			len(value) > maxArgument || strings.ContainsRune(value, 0) {
			return &Invalid{"engine.env", "has a name or a value that no process can be given"}
		}
	}
	return nil
}

func hasPort(s string) bool { return strings.Contains(s, PortMark) }

func hasPortValue(env map[string]string) bool {
	for _, value := range env {
		if hasPort(value) {
			return true
		}
	}
	return false
}

func (s SimSpec) validate() error {
	const hour = 3600_000
	for field, v := range map[string]int{"load_ms": s.LoadMillis, "first_token_ms": s.FirstTokenMillis} {
		if v < 0 || v > hour {
			return &Invalid{"engine.sim." + field, "must be between 0 and 3600000"}
		}
	}
	if !(s.TokensPerSecond >= 0 && s.TokensPerSecond <= 1e6) { // also refuses NaN
		return &Invalid{"engine.sim.tokens_per_second", "must be between 0 and 1000000"}
	}
	if s.MaxModelLen < 0 || s.MaxModelLen > 1<<24 {
		return &Invalid{"engine.sim.max_model_len", "must be between 0 and 16777216"}
	}
	if s.MaxRunning < 0 || s.MaxRunning > 1<<16 {
		return &Invalid{"engine.sim.max_running", "must be between 0 and 65536"}
	}
	if len(s.Faults) > maxFaults {
		return &Invalid{"engine.sim.faults", "has more than 16 faults"}
	}
	known := []SimFaultKind{FaultLoad, FaultDie, FaultHang, FaultError, FaultBusy, FaultGarbage, FaultNoUsage}
	for _, f := range s.Faults {
		if !slices.Contains(known, f.Kind) {
			return &Invalid{"engine.sim.faults", "names the unknown fault " + quote(string(f.Kind))}
		}
		if f.Every < 0 || f.AfterTokens < 0 {
			return &Invalid{"engine.sim.faults", "has a negative number"}
		}
	}
	return nil
}
