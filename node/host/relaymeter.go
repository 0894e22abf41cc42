package host

import (
	"context"
	"sync"
	"time"

	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"golang.org/x/time/rate"
)

// relayMeter holds what a peer relays to what its owner lends: a rate, and bytes for each
// day, which begins with the first byte. It forgets with the process. It is how the library
// tells what its relay service does, and safe for concurrent use.
type relayMeter struct {
	ctx     context.Context // of the host
	now     func() time.Time
	limit   *rate.Limiter
	most    int64               // of a day
	spent   chan struct{}       // of size 1: has a value when a day's bytes are used up
	metrics relay.MetricsTracer // nil: none

	mu      sync.Mutex
	day     time.Time // when it began
	carried int64     // since
}

var _ relay.MetricsTracer = (*relayMeter)(nil)

func newRelayMeter(ctx context.Context, cfg *Config) *relayMeter {
	m := &relayMeter{
		ctx: ctx, now: cfg.Now, most: cfg.RelayBytes, spent: make(chan struct{}, 1),
		limit: rate.NewLimiter(rate.Limit(cfg.RelayRate), int(max(relayBuffer, min(cfg.RelayRate/10, 1<<30)))),
	}
	if cfg.Registerer != nil {
		m.metrics = relay.NewMetricsTracer(relay.WithRegisterer(cfg.Registerer))
	}
	return m
}

// pause is how long nothing may be carried.
func (m *relayMeter) pause() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.carried < m.most {
		return 0
	}
	return max(0, m.day.Add(relayDay).Sub(m.now()))
}

// count adds n bytes.
func (m *relayMeter) count(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); now.Sub(m.day) >= relayDay {
		m.day, m.carried = now, 0
	}
	if m.carried += int64(n); m.carried >= m.most {
		wake(m.spent)
	}
}

// BytesTransferred is called between a piece of a connection, of at most relayBuffer bytes,
// and the next. To wait in here slows the connection down. All take turns in the order in
// which they come, so that bulk on one does not hold up answers on another.
func (m *relayMeter) BytesTransferred(n int) {
	m.count(n)
	m.tell(func(t relay.MetricsTracer) { t.BytesTransferred(n) })
	_ = m.limit.WaitN(m.ctx, n) // fails when the host stops, and its connections with it
}

func (m *relayMeter) tell(f func(relay.MetricsTracer)) {
	if m.metrics != nil {
		f(m.metrics)
	}
}

// The other events are for the metrics alone.

func (m *relayMeter) RelayStatus(on bool) {
	m.tell(func(t relay.MetricsTracer) { t.RelayStatus(on) })
}

func (m *relayMeter) ConnectionOpened() { m.tell(relay.MetricsTracer.ConnectionOpened) }

func (m *relayMeter) ConnectionClosed(d time.Duration) {
	m.tell(func(t relay.MetricsTracer) { t.ConnectionClosed(d) })
}

func (m *relayMeter) ConnectionRequestHandled(status pb.Status) {
	m.tell(func(t relay.MetricsTracer) { t.ConnectionRequestHandled(status) })
}

func (m *relayMeter) ReservationAllowed(renewal bool) {
	m.tell(func(t relay.MetricsTracer) { t.ReservationAllowed(renewal) })
}

func (m *relayMeter) ReservationClosed(n int) {
	m.tell(func(t relay.MetricsTracer) { t.ReservationClosed(n) })
}

func (m *relayMeter) ReservationRequestHandled(status pb.Status) {
	m.tell(func(t relay.MetricsTracer) { t.ReservationRequestHandled(status) })
}
