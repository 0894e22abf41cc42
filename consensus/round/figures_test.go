package round_test

import (
	"math"
	"testing"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
)

// TestClaimsOfSamples has members claim what they like of samples, losses and metrics: the figures
// of the outcome stay among those of the others, unless half of those who measured lie.
func TestClaimsOfSamples(t *testing.T) {
	t.Parallel()
	lie := func(u *round.Update) {
		u.Samples, u.Loss, u.Measured = 1<<62, -1e300, train.Measured{Loss: -math.MaxFloat64, Metric: math.MaxFloat64, Samples: 1 << 62}
	}
	nothing := func(u *round.Update) { u.Samples, u.Loss, u.Measured = 0, 1e9, train.Measured{} }
	for name, tt := range map[string]struct {
		n            int
		claims       map[int]func(*round.Update)
		loss, metric [2]float64 // within
	}{
		"two of five lie":          {5, map[int]func(*round.Update){1: lie, 4: lie}, [2]float64{10, 13}, [2]float64{0.10, 0.13}},
		"one of four lies":         {4, map[int]func(*round.Update){0: lie}, [2]float64{11, 13}, [2]float64{0.11, 0.13}},
		"two have nothing to say":  {4, map[int]func(*round.Update){0: nothing, 3: nothing}, [2]float64{11.5, 11.5}, [2]float64{0.115, 0.115}},
		"nobody has":               {2, map[int]func(*round.Update){0: nothing, 1: nothing}, [2]float64{0, 0}, [2]float64{0, 0}},
		"all are honest, an odd n": {3, nil, [2]float64{11, 11}, [2]float64{0.11, 0.11}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(tt.n, nil)
			w.fail = t.Errorf
			for i, nd := range w.nodes {
				nd.claim = func(u *round.Update) {
					u.Loss, u.Measured = float64(10+i), train.Measured{Loss: float64(20 + i), Metric: float64(10+i) / 100, Samples: 3}
					if f := tt.claims[i]; f != nil {
						f(u)
					}
				}
			}
			for w.now < 500 && w.newest() < 1 {
				w.tick()
			}
			for range 10 { // until all have it
				w.tick()
			}
			o := w.nodes[0].disk.chain[1].Outcome
			within := func(what string, got float64, want [2]float64) {
				if !(got >= want[0]-1e-12 && got <= want[1]+1e-12) {
					t.Errorf("%s is %v, want %v to %v", what, got, want[0], want[1])
				}
			}
			within("loss", o.Loss, tt.loss)
			within("metric", o.Measured.Metric, tt.metric)
			if o.Measured.Samples > 0 {
				within("validation", o.Measured.Loss, [2]float64{tt.loss[0] + 10, tt.loss[1] + 10})
			}
		})
	}
}
