package vision

import "github.com/covey-network/covey/engine/kernel"

// registerSizes returns how many numbers each register holds at most.
func registerSizes(input int, steps []step) [registers]int {
	sizes := [registers]int{input}
	for _, s := range steps {
		sizes[s.dst] = max(sizes[s.dst], s.out.len())
	}
	return sizes
}

// ScratchBytes returns the memory that a pass takes beside the weights: the registers, what
// the convolutions copy their images and results to, and the places of max pools. The
// configuration must be valid.
func (c *Config) ScratchBytes() int64 {
	const lanes = 16
	steps, err := c.plan()
	if err != nil {
		panic("vision: " + err.Error()) // it has been validated
	}
	var n int64
	for _, size := range registerSizes(c.InputLen(), steps) {
		n += int64(size)
	}
	seen := map[kernel.Conv]bool{} // layers of a shape share their scratch
	for i := range steps {
		s := &steps[i]
		switch {
		case s.op == MaxPool:
			n += int64(s.out.len())
		case s.op == Conv && !seen[s.conv]:
			k := s.conv
			seen[k] = true
			side := func(v int) int64 { return int64(v+2*k.Pad+k.Stride-1) / int64(k.Stride) * int64(k.Stride) }
			n += int64(k.InC)*side(k.H)*side(k.W) + lanes
			n += int64(k.OutC) * int64(k.OutH()) * int64((k.OutW()+lanes-1)/lanes*lanes)
		}
	}
	return n * 4
}
