package host

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the host's own; the library registers its own beside them.
type metrics struct {
	peers   prometheus.Gauge
	hellos  *prometheus.CounterVec // result
	resets  *prometheus.CounterVec // protocol
	dials   *prometheus.CounterVec // result
	adverts *prometheus.CounterVec // verdict
	traffic traffic
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		peers:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "host_peers", Help: "Verified peers connected."}),
		hellos:  counter("host_hellos_total", "Hellos by result.", "result"),
		resets:  counter("host_stream_resets_total", "Streams that ended in an error.", "protocol"),
		dials:   counter("host_dials_total", "Dials of known peers by result.", "result"),
		adverts: counter("host_adverts_total", "Adverts received by verdict.", "verdict"),
		traffic: traffic{prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "host_stream_bytes_total", Help: "Bytes that streams carried, by protocol and direction (in, out).",
		}, []string{"protocol", "direction"})},
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.peers, m.hellos, m.resets, m.dials, m.adverts, m.traffic.bytes} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
