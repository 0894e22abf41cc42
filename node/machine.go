package node

import (
	"fmt"
	"os"
	"runtime"

	"github.com/shirou/gopsutil/v4/mem"

	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

func pid() int { return os.Getpid() }

// lentMemory returns the memory lent for models and sessions, half of the machine's unless
// the owner says otherwise, and the machine's.
func lentMemory(limit int64) (lent, total int64, err error) {
	v, err := mem.VirtualMemory()
	if err != nil {
		return 0, 0, fmt.Errorf("read the machine's memory: %w", err)
	}
	total = int64(v.Total)
	if limit > total {
		return 0, 0, fmt.Errorf("limits.memory is %s, and the machine has %s", store.BytesText(limit), store.BytesText(total))
	}
	if limit == 0 {
		limit = total / 2
	}
	return limit, total, nil
}

// cores returns the processor cores lent.
func (r *running) cores() int {
	if r.cfg.Limits.Cores > 0 {
		return r.cfg.Limits.Cores
	}
	return runtime.GOMAXPROCS(0)
}

// machine returns the machine's measured speeds, zero before they are known.
func (r *running) machine() wire.Speeds {
	if s := r.speeds.Load(); s != nil {
		return *s
	}
	return wire.Speeds{}
}
