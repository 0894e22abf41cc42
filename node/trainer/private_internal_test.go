package trainer

import (
	"testing"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/protocol/train"
)

// TestGivenOnce asks a member for its update a second time, as a run does that does not see yet that
// the first one is told: the slices stay those that it has committed to.
func TestGivenOnce(t *testing.T) {
	t.Parallel()
	d := &roundData{round: 1, own: [][]byte{{1}, {2}}}
	l := &learner{s: &session{data: map[uint64]*roundData{1: d}}, work: work{round: 1, steps: 3, samples: 9}}
	if err := l.give(t.Context()); err != nil || len(d.own) != 2 || d.own[0][0] != 1 {
		t.Errorf("given again: %v, %v", d.own, err)
	}
}

// TestWhatIsHidden tells what of settings cannot be hidden, what is not told with noise, and that
// each run has a seed of its own.
func TestWhatIsHidden(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set              train.Settings
		ok               bool
		losses, measured bool
	}{
		"nothing":              {train.Settings{}, true, true, true},
		"long gradients":       {train.Settings{Clip: 1}, true, true, true},
		"samples":              {train.Settings{Clip: 1, Noise: 1, Delta: 1e-5}, true, false, false},
		"samples, to a target": {train.Settings{Clip: 1, Noise: 1, Delta: 1e-5, Target: 0.9}, true, false, true},
		"until nothing better": {train.Settings{Clip: 1, Noise: 1, Delta: 1e-5, Patience: 2}, true, false, true},
		"without delta":        {train.Settings{Clip: 1, Noise: 1}, false, false, false},
		"without clip":         {train.Settings{Noise: 1, Delta: 1e-5}, false, false, false},
		"a budget of nothing":  {train.Settings{Clip: 1, Epsilon: 1}, false, true, true},
		"gradients of all":     {train.Settings{Mode: train.AllReduce, Clip: 1, Noise: 1, Delta: 1e-5, Epsilon: 1}, false, false, false},
		"masks":                {train.Settings{Mask: true}, false, true, true},
	} {
		if err := hides(&c.set); (err == nil) != c.ok || tellsLoss(&c.set) != c.losses || tellsMeasured(&c.set) != c.measured {
			t.Errorf("%s: %v, losses %v, measured %v", name, err, tellsLoss(&c.set), tellsMeasured(&c.set))
		}
	}
	var set train.Settings
	if err := hide(&set, &job.Privacy{Clip: 2, Noise: 0.5, Delta: 1e-6, Epsilon: 3}); err != nil {
		t.Fatal(err)
	}
	a, b := private(&set), private(&set)
	if a.Seed == b.Seed || a.Seed == [32]byte{} || a.Clip != 2 || a.Noise != 0.5 || a.Delta != 1e-6 || a.Epsilon != 3 || private(&train.Settings{}) != nil {
		t.Errorf("%+v and %+v of %+v", a, b, set)
	}
}
