package agent

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// getMetrics serves the figures of the latest heartbeat in Prometheus' format.
// What the node does not know has no series.
func (a *agent) getMetrics(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	latest := a.latest
	a.mu.Unlock()
	registry := prometheus.NewRegistry()
	registry.MustRegister(figures{latest, a.engine.Status().State == wire.EngineReady, a.links.Links()})
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// figures are the series of one scrape.
type figures struct {
	wire.Heartbeat

	ready bool
	links int
}

// Describe implements prometheus.Collector; an empty one leaves the series free.
func (f figures) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (f figures) Collect(out chan<- prometheus.Metric) {
	ready := 0.0
	if f.ready {
		ready = 1
	}
	links := float64(f.links)
	gauge(out, "inventiv_agent_engine_ready", "Whether the engine answers.", &ready)
	gauge(out, "inventiv_agent_links", "Links to the control plane.", &links)
	if g := f.Gauges; g != nil {
		gauge(out, "inventiv_agent_engine_requests_running", "Requests that the engine answers.", g.Running)
		gauge(out, "inventiv_agent_engine_requests_waiting", "Requests in the engine's queue.", g.Waiting)
		gauge(out, "inventiv_agent_engine_kv_cache_use", "Share of the KV cache in use.", g.KVCacheUse)
	}
	gauge(out, "inventiv_agent_cpu_percent", "Processor time in use.", f.Host.CPU)
	gauge(out, "inventiv_agent_load1", "Load average of a minute.", f.Host.Load1)
	gauge(out, "inventiv_agent_memory_used_bytes", "Memory in use.", f.Host.MemoryUsed)
	gauge(out, "inventiv_agent_memory_total_bytes", "Memory there is.", f.Host.MemoryTotal)
	gauge(out, "inventiv_agent_disk_used_bytes", "Disk in use under the state directory.", f.Host.DiskUsed)
	gauge(out, "inventiv_agent_disk_total_bytes", "Disk there is under the state directory.", f.Host.DiskTotal)
	for _, g := range f.GPUs {
		index := strconv.Itoa(g.Index)
		gauge(out, "inventiv_agent_gpu_utilisation_percent", "Utilisation of a GPU.", g.Utilisation, index)
		gauge(out, "inventiv_agent_gpu_memory_used_bytes", "Memory of a GPU in use.", g.MemoryUsed, index)
		gauge(out, "inventiv_agent_gpu_memory_total_bytes", "Memory of a GPU.", g.MemoryTotal, index)
		gauge(out, "inventiv_agent_gpu_temperature_celsius", "Temperature of a GPU.", g.Temperature, index)
		gauge(out, "inventiv_agent_gpu_power_watts", "Power drawn by a GPU.", g.Power, index)
	}
}

// gauge sends a series when its value is known; index names a GPU.
func gauge[T int64 | float64](out chan<- prometheus.Metric, name, help string, value *T, index ...string) {
	if value == nil {
		return
	}
	var labels []string
	if len(index) > 0 {
		labels = []string{"gpu"}
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, float64(*value), index...)
}
