package bench

import (
	"context"
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
// nothing else to do. It takes about a second and 256 MiB; the error is that of a ctx that
// has ended before.
func MeasureMachine(ctx context.Context, p *kernel.Pool) (Machine, error) {
	data := kernel.Buffer(readBytes)
	m := Machine{
		ReadBytes: peakRate(ctx, p, kernel.PeakRead, data),
		DotOps:    peakRate(ctx, p, kernel.PeakDot, nil),
		FMAOps:    peakRate(ctx, p, kernel.PeakFMA, nil),
	}
	return m, ctx.Err()
}

// peakRate is the best rate of several tries, of no meaning once ctx has ended.
func peakRate(ctx context.Context, p *kernel.Pool, w kernel.PeakWork, data []byte) float64 {
	best := 0.0
	for range peakTries {
		start, done := time.Now(), int64(0)
		for time.Since(start) < peakTime && ctx.Err() == nil {
			done += kernel.Peak(p, w, data)
		}
		best = max(best, float64(done)/time.Since(start).Seconds())
	}
	return best
}
