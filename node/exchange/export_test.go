package exchange

import "time"

// SetTimes shortens the intervals for tests.
func (e *Exchange) SetTimes(stall, backoff, steal time.Duration) {
	e.times = times{stall: stall, backoff: backoff, steal: steal}
}
