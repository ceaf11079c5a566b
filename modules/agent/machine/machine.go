// Package machine reads what a node knows about itself. A figure that cannot be
// read is absent.
package machine

import (
	"context"
	"math"
	"os"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// Reader reads the figures of this machine. It is not safe for concurrent use:
// processor use is what passed since the last Read.
type Reader struct {
	folder string
	before *cpu.TimesStat
}

// NewReader returns a reader; disk figures are those of the file system that
// folder is on.
func NewReader(folder string) *Reader { return &Reader{folder: folder} }

// Read returns the host's figures of this moment. The first one has no
// processor use.
func (r *Reader) Read(ctx context.Context) wire.Host {
	var h wire.Host
	h.Hostname, _ = os.Hostname() // absent
	if n, err := cpu.CountsWithContext(ctx, true); err == nil {
		h.CPUs = n
	}
	h.CPU = r.processor(ctx)
	if avg, err := load.AvgWithContext(ctx); err == nil {
		h.Load1, h.Load5, h.Load15 = figure(avg.Load1), figure(avg.Load5), figure(avg.Load15)
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		h.MemoryTotal, h.MemoryUsed = count(m.Total), count(m.Total-min(m.Available, m.Total))
	}
	if d, err := disk.UsageWithContext(ctx, r.folder); err == nil {
		h.DiskTotal, h.DiskUsed = count(d.Total), count(d.Used)
	}
	if all, err := net.IOCountersWithContext(ctx, true); err == nil {
		var in, out uint64
		for _, one := range all {
			if one.Name != "lo" {
				in, out = in+one.BytesRecv, out+one.BytesSent
			}
		}
		h.NetReceived, h.NetSent = count(in), count(out)
	}
	return h
}

// processor returns the percentage of processor time that was not idle since
// the last call.
func (r *Reader) processor(ctx context.Context) *float64 {
	all, err := cpu.TimesWithContext(ctx, false)
	if err != nil || len(all) != 1 {
		return nil
	}
	now, before := all[0], r.before
	r.before = &now
	if before == nil {
		return nil
	}
	busy, total := busyOf(now)-busyOf(*before), totalOf(now)-totalOf(*before)
	if total <= 0 {
		return nil
	}
	return figure(min(max(busy/total*100, 0), 100))
}

func totalOf(t cpu.TimesStat) float64 {
	return t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
}

func busyOf(t cpu.TimesStat) float64 { return totalOf(t) - t.Idle - t.Iowait }

func figure(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func count(v uint64) *int64 {
	if v > math.MaxInt64 {
		return nil
	}
	n := int64(v)
	return &n
}
