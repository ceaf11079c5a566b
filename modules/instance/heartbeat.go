package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// How often agents report, in seconds: often while something is waited for.
const (
	beatFast = 2
	beatSlow = 10
)

// heartbeat keeps what a node reports and answers what is wanted of it. It
// tells others only when the connectivity or the engine's state changed.
func (s *Service) heartbeat(r *http.Request) (any, error) {
	ctx := r.Context()
	who, err := s.identify(ctx, r)
	if err != nil {
		return nil, err
	}
	var h wire.Heartbeat
	if err := read(r, &h); err != nil {
		return nil, err
	}
	now := time.Now()
	if err := h.Validate(now); err != nil {
		return nil, invalid(err)
	}
	if h.InstanceID != who.id {
		return nil, wrongInstance("The report is about another instance than the certificate's.")
	}
	if h.Skew != 0 {
		s.log.WarnContext(ctx, "the node's clock is off", "instance", who.id, "skew", h.Skew.Round(time.Second))
	}
	changed, err := s.keep(ctx, who, &h)
	if err != nil {
		return nil, err
	}
	if changed {
		s.reconcile.Wake()
	}
	engine, err := s.engine(ctx, who.organisation, who.id)
	if err != nil {
		return nil, err
	}
	answer := wire.HeartbeatResponse{Desired: wire.Run, HeartbeatSeconds: beatSlow, Engine: engine}
	if who.state != Ready || h.Engine.State != wire.EngineReady {
		answer.HeartbeatSeconds = beatFast
	}
	if who.state == Draining {
		answer.Desired = wire.Drain
	}
	return answer, nil
}

// keep stores the report and a sample of it, and says whether something changed
// that others act on.
func (s *Service) keep(ctx context.Context, who identity, h *wire.Heartbeat) (changed bool, err error) {
	raw, err := json.Marshal(h)
	if err != nil {
		return false, fmt.Errorf("write the report: %w", err)
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := instancedb.New(tx)
		last, err := q.Beat(ctx, instancedb.BeatParams{
			InstanceID: who.id, Heartbeat: raw, AgentVersion: h.AgentVersion, AgentChecksum: h.AgentChecksum, Serial: who.serial,
			Generation: who.generation,
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return goneProblem()
		}
		if err != nil {
			return err
		}
		previous := readHeartbeat(last.Previous)
		if err := q.AddSample(ctx, sampleOf(who, h, previous, last.Seconds)); err != nil {
			return err
		}
		connected, err := q.Connect(ctx, who.id)
		if err != nil {
			return err
		}
		engine := previous == nil || previous.Engine.State != h.Engine.State
		if engine {
			if err := q.WakeInstance(ctx, who.id); err != nil {
				return err
			}
		}
		if changed = engine || connected > 0; !changed {
			return nil
		}
		return tell(ctx, tx, who.organisation, who.id)
	})
	if err != nil {
		return false, fmt.Errorf("keep the report: %w", err)
	}
	return changed, nil
}

// sampleOf returns the figures for charts; those that were not reported stay
// absent.
func sampleOf(who identity, h, previous *wire.Heartbeat, seconds float64) instancedb.AddSampleParams {
	p := instancedb.AddSampleParams{InstanceID: who.id}
	if g := h.Gauges; g != nil {
		p.Running, p.Waiting, p.KvCache, p.Tokens = small(g.Running), small(g.Waiting), share(g.KVCacheUse, 1), g.GenerationTokens
	}
	var use float64
	var used, total int64
	uses := 0
	for _, g := range h.GPUs {
		if g.Utilisation != nil {
			use, uses = use+*g.Utilisation, uses+1
		}
		if g.MemoryUsed != nil && g.MemoryTotal != nil {
			used, total = used+*g.MemoryUsed, total+*g.MemoryTotal
		}
	}
	if uses > 0 {
		mean := use / float64(uses)
		p.Gpu = share(&mean, 100)
	}
	p.GpuMemory = ratio(&used, &total)
	p.Cpu = share(h.Host.CPU, 100)
	p.Memory = ratio(h.Host.MemoryUsed, h.Host.MemoryTotal)
	p.Disk = ratio(h.Host.DiskUsed, h.Host.DiskTotal)
	if previous != nil && seconds > 0.5 {
		p.NetRx = perSec(previous.Host.NetReceived, h.Host.NetReceived, seconds)
		p.NetTx = perSec(previous.Host.NetSent, h.Host.NetSent, seconds)
	}
	return p
}

func small(v *int64) *int32 {
	if v == nil {
		return nil
	}
	n := int32(min(*v, math.MaxInt32))
	return &n
}

func share(v *float64, of float64) *float32 {
	if v == nil {
		return nil
	}
	f := float32(*v / of)
	return &f
}

func ratio(used, total *int64) *float32 {
	if used == nil || total == nil || *total <= 0 {
		return nil
	}
	f := float32(float64(*used) / float64(*total))
	return &f
}

// perSec returns the rate between two readings of a counter; nothing when it
// was reset in between.
func perSec(before, after *int64, seconds float64) *int64 {
	if before == nil || after == nil || *after < *before {
		return nil
	}
	n := int64(float64(*after-*before) / seconds)
	return &n
}
