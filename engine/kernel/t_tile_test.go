package kernel_test

import (
	"fmt"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// TestTileProduct takes every number of rows, odd ones too, with every number of groups
// that a pass may have, on every instruction set.
func TestTileProduct(t *testing.T) {
	t.Parallel()
	const gap = 3
	for rows := 1; rows <= 13; rows++ {
		for groups := 1; groups <= 9; groups++ {
			for _, k := range []int{1, 2, 17, 64} {
				for _, across := range []bool{false, true} {
					rng := rngOf(rows*1000 + groups*10 + k)
					wide := groups*16 + gap
					x, w, before := randoms(rng, (rows+gap)*(k+gap), 1), randoms(rng, k*wide, 1), randoms(rng, rows*wide, 1)
					for _, more := range []bool{false, true} {
						name := fmt.Sprintf("%d rows, %d groups, k %d, x across %t, added %t", rows, groups, k, across, more)
						want := append([]float32(nil), before...)
						kernel.TileProduct(kernel.Generic, want, x, w, rows, groups, k, gap, across, more)
						for _, isa := range kernel.Supported()[1:] {
							got := append([]float32(nil), before...)
							kernel.TileProduct(isa, got, x, w, rows, groups, k, gap, across, more)
							sameBits(t, fmt.Sprintf("%v, %s", isa, name), got, want)
						}
						checkTile(t, name, want, before, x, w, rows, groups, k, gap, across, more)
					}
				}
			}
		}
	}
}

// checkTile compares with sums in float64; what lies between rows is as before.
func checkTile(t *testing.T, name string, got, before, x, w []float32, rows, groups, k, gap int, across, more bool) {
	t.Helper()
	wide := groups*16 + gap
	for i := range got {
		row, col := i/wide, i%wide
		want := float64(before[i])
		if col < groups*16 {
			if !more {
				want = 0
			}
			for j := range k {
				at := row*(k+gap) + j
				if across {
					at = j*(rows+gap) + row
				}
				want += float64(x[at]) * float64(w[j*wide+col])
			}
		}
		near(t, name, got[i], want, 1e-5)
	}
}
