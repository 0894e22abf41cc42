package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts for Prometheus; without a registry it counts for nobody.
type metrics struct {
	registry    prometheus.Registerer
	all         []prometheus.Collector
	putBytes    prometheus.Counter
	getBytes    prometheus.Counter
	damaged     *prometheus.CounterVec
	healedCount prometheus.Counter
	removed     prometheus.Counter
}

func newMetrics(r prometheus.Registerer, s *Store) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "covey_store_" + name, Help: help})
	}
	gauge := func(name, help string, f func(Stat) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "covey_store_" + name, Help: help}, func() float64 { return f(s.Stat()) })
	}
	m := &metrics{
		registry: r,
		putBytes: counter("put_bytes_total", "Bytes of blocks written."),
		getBytes: counter("get_bytes_total", "Bytes of blocks read and verified."),
		damaged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "covey_store_quarantined_blocks_total", Help: "Blocks found damaged, by reason.",
		}, []string{"reason"}),
		healedCount: counter("healed_blocks_total", "Damaged blocks put again."),
		removed:     counter("collected_blocks_total", "Blocks removed by garbage collection."),
	}
	m.all = []prometheus.Collector{
		m.putBytes, m.getBytes, m.damaged, m.healedCount, m.removed,
		gauge("blocks", "Blocks held.", func(st Stat) float64 { return float64(st.Blocks) }),
		gauge("block_bytes", "Bytes of blocks held.", func(st Stat) float64 { return float64(st.Bytes) }),
		gauge("disk_bytes", "Bytes occupied on disk.", func(st Stat) float64 { return float64(st.DiskBytes) }),
		gauge("read_only", "1 while nothing can be stored for lack of room.", func(st Stat) float64 {
			if st.Full != "" {
				return 1
			}
			return 0
		}),
		gauge("free_bytes", "Bytes that may still be written.", func(st Stat) float64 { return float64(st.Free) }),
	}
	if r == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registry == nil {
		return
	}
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
}

func (m *metrics) put(n int64)          { m.putBytes.Add(float64(n)) }
func (m *metrics) got(n int)            { m.getBytes.Add(float64(n)) }
func (m *metrics) quarantined(r Reason) { m.damaged.WithLabelValues(string(r)).Inc() }
func (m *metrics) healed()              { m.healedCount.Inc() }
func (m *metrics) collected(blocks int) { m.removed.Add(float64(blocks)) }
