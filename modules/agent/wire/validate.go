package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// MaxSkew is how far the node's clock may be off before Validate says so.
const MaxSkew = 30 * time.Second

// Limits of what an agent may say.
const (
	maxText   = 4 << 10 // bytes of a reason or an error line
	maxShort  = 256     // bytes of a name, version or checksum
	maxToken  = 512
	maxCSR    = 16 << 10
	maxGPUs   = 64
	maxTokens = 1e14 // counted by one engine since it started: a century at 30 million a second
	maxBytes  = 1 << 60
)

// Invalid says which field of a message cannot be true or cannot be accepted.
type Invalid struct {
	Field   string // as in JSON, with dots
	Problem string // goes after the field's name in a sentence
}

// Error returns field and problem as one sentence.
func (e *Invalid) Error() string { return e.Field + " " + e.Problem }

// Validate checks the shape of the request; whether the token is good is the
// control plane's to say. The error wraps ErrProtocol or is an *Invalid.
func (r *RegisterRequest) Validate() error {
	if err := CheckProtocol(r.Protocol); err != nil {
		return err
	}
	if r.InstanceID == uuid.Nil {
		return &Invalid{"instance_id", "is missing"}
	}
	if len(r.Token) > maxToken {
		return &Invalid{"token", "is too long to be one of ours"}
	}
	if r.CSR == "" || len(r.CSR) > maxCSR {
		return &Invalid{"csr", "must be a certificate request in PEM of at most 16 KiB"}
	}
	r.AgentVersion = Clean(r.AgentVersion, maxShort)
	r.AgentChecksum = Clean(r.AgentChecksum, maxShort)
	return nil
}

// Validate makes the report fit to be stored, or refuses it. Texts are cut and
// freed of what a database or a page cannot hold; percentages, temperatures and
// used-of-total figures are clamped; a clock that is off is replaced by now and
// told in Skew, and what it dated is set right. It refuses what no honest node says: negative counters, counters
// beyond belief, an unknown engine state, more than 64 GPUs. The error wraps
// ErrProtocol or is an *Invalid.
func (h *Heartbeat) Validate(now time.Time) error {
	if err := CheckProtocol(h.Protocol); err != nil {
		return err
	}
	if h.InstanceID == uuid.Nil {
		return &Invalid{"instance_id", "is missing"}
	}
	h.AgentVersion = Clean(h.AgentVersion, maxShort)
	h.AgentChecksum = Clean(h.AgentChecksum, maxShort)
	if h.UptimeSeconds < 0 || h.UptimeSeconds > math.MaxInt32 {
		return &Invalid{"uptime_seconds", "is not a length of time"}
	}
	h.Skew = 0
	if d := h.Time.Sub(now); d > MaxSkew || d < -MaxSkew {
		h.Skew, h.Time = d, now
		h.Engine.Since = h.Engine.Since.Add(-d)
	}
	if err := h.Engine.validate(now); err != nil {
		return err
	}
	if h.Gauges != nil {
		if err := h.Gauges.validate(); err != nil {
			return err
		}
	}
	if len(h.GPUs) > maxGPUs {
		return &Invalid{"gpus", "names more than 64 processors"}
	}
	seen := make(map[int]bool, len(h.GPUs))
	for i := range h.GPUs {
		g := &h.GPUs[i]
		if err := g.validate(fmt.Sprintf("gpus[%d].", i)); err != nil {
			return err
		}
		if seen[g.Index] {
			return &Invalid{fmt.Sprintf("gpus[%d].index", i), "is named twice"}
		}
		seen[g.Index] = true
	}
	return h.Host.validate()
}

func (e *EngineStatus) validate(now time.Time) error {
	switch e.State {
	case EngineStarting, EngineLoading, EngineReady, EngineFailed, EngineStopped:
	default:
		return &Invalid{"engine.state", "is unknown: " + quote(string(e.State))}
	}
	if e.Restarts < 0 || e.Restarts > math.MaxInt32 {
		return &Invalid{"engine.restarts", "is not a count"}
	}
	e.Reason = Clean(e.Reason, maxText)
	e.LastError = Clean(e.LastError, maxText)
	e.Model = Clean(e.Model, maxModelName)
	e.Fingerprint = Clean(e.Fingerprint, maxShort)
	if e.Since.Year() < 2000 || e.Since.After(now) {
		e.Since = now
	}
	return nil
}

func (g *EngineGauges) validate() error {
	for field, v := range map[string]*int64{
		"running": g.Running, "waiting": g.Waiting,
		"prompt_tokens": g.PromptTokens, "generation_tokens": g.GenerationTokens,
	} {
		if v != nil && (*v < 0 || *v > maxTokens) {
			return &Invalid{"gauges." + field, "is not a believable count"}
		}
	}
	clamp(g.KVCacheUse, 0, 1)
	return nil
}

func (g *GPU) validate(at string) error {
	if g.Index < 0 || g.Index > 1<<10 {
		return &Invalid{at + "index", "is not an index"}
	}
	g.UUID = Clean(g.UUID, maxShort)
	g.Name = Clean(g.Name, maxShort)
	clamp(g.Utilisation, 0, 100)
	clamp(g.Temperature, -50, 150)
	clamp(g.Power, 0, 100_000)
	return usedOf(at+"memory", g.MemoryUsed, g.MemoryTotal)
}

func (h *Host) validate() error {
	h.Hostname = Clean(h.Hostname, maxShort)
	if h.CPUs < 0 || h.CPUs > 1<<16 {
		return &Invalid{"host.cpus", "is not a count"}
	}
	clamp(h.CPU, 0, 100)
	for _, load := range []*float64{h.Load1, h.Load5, h.Load15} {
		clamp(load, 0, 1e6)
	}
	if err := usedOf("host.memory", h.MemoryUsed, h.MemoryTotal); err != nil {
		return err
	}
	if err := usedOf("host.disk", h.DiskUsed, h.DiskTotal); err != nil {
		return err
	}
	return usedOf("host.net", h.NetReceived, nil, h.NetSent)
}

// usedOf refuses byte counts that cannot be and lowers used to total.
func usedOf(at string, used, total *int64, more ...*int64) error {
	for _, v := range append(more, used, total) {
		if v != nil && (*v < 0 || *v > maxBytes) {
			return &Invalid{at, "is not a believable number of bytes"}
		}
	}
	if used != nil && total != nil && *used > *total {
		*used = *total
	}
	return nil
}

func clamp(v *float64, low, high float64) {
	if v != nil {
		*v = min(max(*v, low), high)
	}
}

// Clean returns s fit for a database and a page: valid UTF-8 without control
// characters other than tab and newline, of at most limit bytes. What is cut
// ends in an ellipsis.
func Clean(s string, limit int) string {
	if len(s) <= limit && clean(s) {
		return s
	}
	const dots = "…"
	out := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), limit+utf8.UTFMax)], "\uFFFD"))
	if len(s) <= limit && len(out) <= limit {
		return out
	}
	for len(out) > limit-len(dots) {
		_, size := utf8.DecodeLastRuneInString(out)
		out = out[:len(out)-size]
	}
	return out + dots
}

// clean reports whether s is valid UTF-8 without control characters.
func clean(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, unicode.IsControl)
}

func quote(s string) string { return strconv.Quote(Clean(s, 64)) }
