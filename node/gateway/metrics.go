package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts for Prometheus; without a registry it counts for nobody.
type metrics struct {
	requests *prometheus.CounterVec   // by route and status
	seconds  *prometheus.HistogramVec // by route
	prompt   prometheus.Counter
	answered prometheus.Counter
	reroutes prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "covey_gateway_" + name, Help: help})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "covey_gateway_requests_total", Help: "Requests answered."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "covey_gateway_request_seconds", Help: "Time from a request to the end of its answer.", Buckets: prometheus.ExponentialBuckets(0.002, 4, 9),
		}, []string{"route"}),
		prompt:   counter("prompt_tokens_total", "Tokens of prompts."),
		answered: counter("answered_tokens_total", "Tokens drawn for answers."),
		reroutes: counter("reroutes_total", "Times a chain of peers failed and another one was looked for, at the open of a session or later."),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.prompt, m.answered, m.reroutes} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// counted counts the requests that mux answers, by the pattern of their route.
func (m *metrics) counted(mux *http.ServeMux, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := mux.Handler(r)
		start := now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			m.requests.WithLabelValues(route, strconv.Itoa(s.status)).Inc()
			m.seconds.WithLabelValues(route).Observe(now().Sub(start).Seconds())
		}()
		mux.ServeHTTP(s, r)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
