package bench

import (
	"time"

	"github.com/covey-network/covey/engine/kernel"
)

// Reads go over more memory than a last-level cache holds; each measurement takes peakTime
// and is the best of peakTries, because other work on the machine only takes away.
const (
	readBytes = 256 << 20
	peakTime  = 50 * time.Millisecond
	peakTries = 5
)

// MeasureMachine measures what the machine gives the threads of a pool, which should have
// nothing else to do. It takes about a second and 256 MiB.
func MeasureMachine(p *kernel.Pool) Machine {
	data := kernel.Buffer(readBytes)
	return Machine{
		ReadBytes: peakRate(p, kernel.PeakRead, data),
		DotOps:    peakRate(p, kernel.PeakDot, nil),
		FMAOps:    peakRate(p, kernel.PeakFMA, nil),
	}
}

func peakRate(p *kernel.Pool, w kernel.PeakWork, data []byte) float64 {
	best := 0.0
	for range peakTries {
		start, done := time.Now(), int64(0)
		for time.Since(start) < peakTime {
			done += kernel.Peak(p, w, data)
		}
		best = max(best, float64(done)/time.Since(start).Seconds())
	}
	return best
}
