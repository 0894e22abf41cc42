package exchange

import "github.com/prometheus/client_golang/prometheus"

// metrics counts for Prometheus; without a registry it counts for nobody.
type metrics struct {
	sent, received, duplicate prometheus.Counter
	missing                   prometheus.Counter
	wrong                     prometheus.Counter
	dropped                   prometheus.Counter
	streams                   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "covey_exchange_" + name, Help: help})
	}
	m := &metrics{
		sent:      counter("sent_bytes_total", "Bytes of blocks sent to peers."),
		received:  counter("received_bytes_total", "Bytes of blocks fetched from peers and verified."),
		duplicate: counter("duplicate_bytes_total", "Bytes of blocks that came from two peers."),
		missing:   counter("missing_blocks_total", "Blocks that peers asked for and did not get."),
		wrong:     counter("wrong_blocks_total", "Blocks from peers whose bytes were others than named."),
		dropped:   counter("dropped_providers_total", "Peers given up in the course of a fetch."),
		streams:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "covey_exchange_streams", Help: "Streams being served."}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sent, m.received, m.duplicate, m.missing, m.wrong, m.dropped, m.streams} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
