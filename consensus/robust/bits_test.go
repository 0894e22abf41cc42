package robust_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

// TestBits compares the bits of every rule with those that were written down once: they are the
// same on every machine, and a change of them parts old peers from new ones. The inputs come
// of integers, since normal numbers differ between machines.
func TestBits(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(21, 22))
	draw := func() []float32 {
		u := make([]float32, 70001)
		for i := range u {
			u[i] = float32(int32(rng.Uint32())) * float32(math.Ldexp(1, -30-rng.IntN(8)))
		}
		return u
	}
	updates, reference := make([][]float32, 9), draw()
	for i := range updates {
		updates[i] = draw()
	}
	for i := range updates[4] {
		updates[4][i] *= 1 << 20
	}
	sum := sha256.New()
	for _, name := range names {
		got, _ := apply(t, name, updates, reference)
		for _, v := range got {
			sum.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
		}
	}
	const want = "c92cad1de572241f"
	if got := hex.EncodeToString(sum.Sum(nil))[:16]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
