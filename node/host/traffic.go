package host

import (
	"time"

	libmetrics "github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"
)

// traffic counts what streams carry, by protocol: the library tells it each read and write.
// Nobody asks it for sums; those are in the metrics.
type traffic struct {
	bytes *prometheus.CounterVec // protocol, direction
}

var _ libmetrics.Reporter = traffic{}

// LogSentMessage ignores a sum that counts below, too.
func (traffic) LogSentMessage(int64) {}

// LogRecvMessage ignores a sum that counts below, too.
func (traffic) LogRecvMessage(int64) {}

// LogSentMessageStream counts a write.
func (t traffic) LogSentMessageStream(n int64, proto libprotocol.ID, _ peer.ID) {
	t.bytes.WithLabelValues(string(proto), "out").Add(float64(n))
}

// LogRecvMessageStream counts a read.
func (t traffic) LogRecvMessageStream(n int64, proto libprotocol.ID, _ peer.ID) {
	t.bytes.WithLabelValues(string(proto), "in").Add(float64(n))
}

// GetBandwidthForPeer is not kept.
func (traffic) GetBandwidthForPeer(peer.ID) (s libmetrics.Stats) { return s }

// GetBandwidthForProtocol is not kept.
func (traffic) GetBandwidthForProtocol(libprotocol.ID) (s libmetrics.Stats) { return s }

// GetBandwidthTotals is not kept.
func (traffic) GetBandwidthTotals() (s libmetrics.Stats) { return s }

// GetBandwidthByPeer is not kept.
func (traffic) GetBandwidthByPeer() map[peer.ID]libmetrics.Stats { return nil }

// GetBandwidthByProtocol is not kept.
func (traffic) GetBandwidthByProtocol() map[libprotocol.ID]libmetrics.Stats { return nil }

// Reset does nothing: the counters only grow.
func (traffic) Reset() {}

// TrimIdle does nothing: there are few protocols.
func (traffic) TrimIdle(time.Time) {}
