package train

import (
	"math"

	"github.com/covey-network/covey/engine/train/net"
)

// Score sums up how well a model did on batches.
type Score struct {
	Loss    float64 // sum over what counts
	Count   int     // samples or tokens that count
	Correct int     // of them, those whose most likely class is right
	Top5    int     // of them, those whose class is among the five most likely
}

// Add adds another score.
func (s *Score) Add(o Score) {
	s.Loss += o.Loss
	s.Count += o.Count
	s.Correct += o.Correct
	s.Top5 += o.Top5
}

// Mean returns the mean loss.
func (s Score) Mean() float64 { return s.Loss / float64(max(s.Count, 1)) }

// Accuracy returns the share that is right.
func (s Score) Accuracy() float64 { return float64(s.Correct) / float64(max(s.Count, 1)) }

// Top5Accuracy returns the share that is among the five most likely.
func (s Score) Top5Accuracy() float64 { return float64(s.Top5) / float64(max(s.Count, 1)) }

// Perplexity returns the exponential of the mean loss.
func (s Score) Perplexity() float64 { return math.Exp(s.Mean()) }

// score counts rows of logits (rows, outputs).
func score(task net.Task, loss float32, logits []float32, labels []int32, outputs int) Score {
	s := Score{}
	if task == net.Regress {
		s.Count = len(logits) / outputs
		s.Loss = float64(loss) * float64(s.Count)
		return s
	}
	for i, l := range labels {
		if l < 0 {
			continue
		}
		s.Count++
		row := logits[i*outputs : (i+1)*outputs]
		switch above := better(row, int(l)); {
		case above == 0:
			s.Correct++
			s.Top5++
		case above < 5:
			s.Top5++
		}
	}
	s.Loss = float64(loss) * float64(s.Count)
	return s
}

// better counts the elements that come before element i when sorted from the largest; of
// equal ones the first comes first.
func better(row []float32, i int) int {
	v, n := row[i], 0
	for j, w := range row {
		if w > v || w == v && j < i {
			n++
		}
	}
	if v != v {
		return len(row)
	}
	return n
}
