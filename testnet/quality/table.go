package quality

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The limits of a row.
const (
	mostWorse     = 0.02 // of the loss of one process
	mostWorseLost = 0.04 // with half of the updates lost
	leastFewer    = 500  // times fewer bytes
)

// Row is a swarm beside one process.
type Row struct {
	Task, Data string
	Lost       float64   // part of the updates
	Skew       float64   // share of a member's samples that would have to be of other classes; 0 of text
	Alone      []float64 // losses of validation, by seed
	Together   []float64
	Metric     [2]float64 // alone and together
	Parameters int
	Steps      int // of each member
	Rounds     int
	Slices     float64 // bytes that a member has sent: updates and results
	All        float64 // and agreement
}

// allReduce returns how many bytes a member sends where the gradients of each step are averaged
// as float32: 2 (n-1)/n of a gradient, by a ring or by slices (Patarasuk and Yuan 2009).
func (r *Row) allReduce() float64 {
	return 2 * float64(Members-1) / Members * 4 * float64(r.Parameters) * float64(r.Steps)
}

// Head is the head of a table of rows, in Markdown.
const Head = "| task | data | updates lost | loss of one process | of 8 members | difference | accuracy or perplexity | bytes of a step's gradients | sent by each member | fewer bytes, updates only | with agreement | |\n" +
	"|---|---|---|---|---|---|---|---|---|---|---|---|"

// String returns the row for a table below Head.
func (r *Row) String() string {
	data := r.Data
	if r.Skew > 0 {
		data += fmt.Sprintf(" (%.0f %%)", 100*r.Skew)
	}
	verdict := "ok"
	if over := r.Over(); len(over) > 0 {
		verdict = "OVER: " + strings.Join(over, ", ")
	}
	return fmt.Sprintf("| %s | %s | %.0f %% | %.4f | %.4f | %+.1f %% | %.4g, %.4g | %.0f | %.0f in %d rounds | %.0fx | %.0fx | %s |", r.Task, data, 100*r.Lost, median(r.Alone), median(r.Together),
		100*r.worse(), r.Metric[0], r.Metric[1], r.allReduce()/float64(r.Steps), r.All, r.Rounds, r.allReduce()/r.Slices, r.allReduce()/r.All, verdict)
}

// worse is by how much the swarm's loss is above that of one process: medians over the seeds.
func (r *Row) worse() float64 { return median(r.Together)/median(r.Alone) - 1 }

func median(of []float64) float64 {
	s := slices.Sorted(slices.Values(of))
	if len(s) == 0 {
		return math.NaN()
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Over lists the limits that the row does not keep.
func (r *Row) Over() (out []string) {
	most := mostWorse
	if r.Lost > 0 {
		most = mostWorseLost
	}
	if !(r.worse() <= most) {
		out = append(out, "loss")
	}
	if !(r.allReduce() >= leastFewer*r.All) {
		out = append(out, "bytes")
	}
	return out
}
