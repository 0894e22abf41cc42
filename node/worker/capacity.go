package worker

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/covey-network/covey/engine/bench"
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/protocol/wire"
)

// Engine names what a measurement of speed is valid for: the engine's version and the
// instruction set it runs on.
func Engine(version string) string {
	if version == "" {
		if info, ok := debug.ReadBuildInfo(); ok {
			version = info.Main.Version
		}
	}
	return fmt.Sprintf("%.40s %s", version, kernel.Current())
}

// MeasureMachine measures what memory and processor give the worker's threads. It takes
// about a second of all of them. The error is that of a ctx that has ended before.
func (w *Worker) MeasureMachine(ctx context.Context, version string) (wire.Speeds, error) {
	m, err := bench.MeasureMachine(ctx, w.pool)
	return wire.Speeds{MemBytesPerSec: uint64(m.ReadBytes), DotOpsPerSec: uint64(m.DotOps), Engine: Engine(version)}, err
}
