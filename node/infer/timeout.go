package infer

import "time"

// The times of the longest of chains; see share.
const (
	openTimeout  = 30 * time.Second
	stepTimeout  = 40 * time.Second
	tokenTimeout = 360 * time.Millisecond // more for each token of a step
)

// OpenTimeout returns how long a chain of hops has to open a session: 15 s for one hop, 20 s
// for two.
func OpenTimeout(hops int) time.Duration { return share(openTimeout, hops) }

// StepTimeout returns how long a chain of hops has for a step: 20 s for a token on one hop,
// enough for a prompt chunk on a slow machine, short enough that a peer which hangs is
// noticed.
func StepTimeout(tokens, hops int) time.Duration {
	return share(stepTimeout+time.Duration(tokens)*tokenTimeout, hops)
}

// leastRate is what a link must carry, in bytes a second: a quarter of a slow uplink.
const leastRate = 64 << 10

// TensorTimeout returns how long a tensor of so many bytes may take to arrive.
func TensorTimeout(bytes int64) time.Duration {
	return Stall + time.Duration(bytes)*time.Second/leastRate
}

// share gives a chain less time than a longer one, so that whoever waits for the hop that
// hangs is the first to give up, and can name it.
func share(t time.Duration, hops int) time.Duration {
	return t * time.Duration(hops) / time.Duration(hops+1)
}
