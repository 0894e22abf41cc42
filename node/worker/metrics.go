package worker

import "github.com/prometheus/client_golang/prometheus"

// metrics counts for Prometheus; without a registry it counts for nobody.
type metrics struct {
	sessions prometheus.Counter
	refused  *prometheus.CounterVec // by code
	rows     prometheus.Counter
	batch    prometheus.Histogram
	seconds  prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sessions: prometheus.NewCounter(prometheus.CounterOpts{Name: "covey_worker_sessions_total", Help: "Sessions opened."}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "covey_worker_refused_total", Help: "Sessions that ended with an error, by its code."}, []string{"code"}),
		rows:     prometheus.NewCounter(prometheus.CounterOpts{Name: "covey_worker_tokens_total", Help: "Tokens that went through a stage."}),
		batch:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "covey_worker_batch_steps", Help: "Steps that ran together.", Buckets: prometheus.ExponentialBuckets(1, 2, 6)}),
		seconds:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "covey_worker_batch_seconds", Help: "Time of a batch in a stage.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sessions, m.refused, m.rows, m.batch, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
