package attack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/testnet/toy"
)

// Plain is the rule that is no rule: the mean without any check, to show that an attack bites.
const Plain = "plain"

// The attacks. A liar knows what all honest senders send in a step.
const (
	None       = "none"       // the liars are honest
	LabelFlip  = "labelflip"  // honest work on data whose label y is 9 - y
	SignFlip   = "signflip"   // the own update times -1
	SignFlip10 = "signflip10" // times -10
	Scaled     = "x1000"      // times 1000
	IPM        = "ipm"        // inner product manipulation: the honest mean times -0.1
	ALIE       = "alie"       // a little is enough: the honest mean less 1.5 standard deviations
	Noise      = "noise"      // normal, 10 in each coordinate
	Mimic      = "mimic"      // what the first honest sender sends
	Zero       = "zero"
	NaN        = "nan"
)

// Attacks lists them all, None first.
var Attacks = []string{None, LabelFlip, SignFlip, SignFlip10, Scaled, IPM, ALIE, Noise, Mimic, Zero, NaN}

// Config is one training.
type Config struct {
	Rule   string // of consensus/robust, or Plain
	Attack string
	Liars  int  // of the senders
	Sorted bool // each sender has a contiguous part of the data sorted by label; else by chance
	Seed   uint64
}

// The setting.
const (
	senders   = 20
	batchSize = 32
	steps     = 300
	momentum  = 0.9 // of each sender's own gradients
	rate      = 0.5
	trainSize = 20000
	testSize  = 4000
)

// Run trains and returns the part of the test data, 0 to 1, that is classified right.
func Run(cfg Config) (float64, error) {
	if !slices.Contains(Attacks, cfg.Attack) {
		return 0, fmt.Errorf("attack %q is not one of %s", cfg.Attack, strings.Join(Attacks, ", "))
	}
	if cfg.Liars < 0 || cfg.Liars >= senders {
		return 0, fmt.Errorf("%d liars of %d senders", cfg.Liars, senders)
	}
	aggregate, err := aggregator(cfg.Rule)
	if err != nil {
		return 0, err
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 1))
	source := toy.NewSource(rng)
	train, test := source.Draw(rng, trainSize), source.Draw(rng, testSize)
	s := newSwarm(cfg, rng, train)
	model := toy.NewModel(rng)
	result := make([]float32, len(model.Params))
	for step := range steps {
		s.send(&model)
		if err := aggregate(result, s.updates); err != nil {
			if step > 0 {
				break // the attack has made numbers of the model so large that no sender has a gradient
			}
			return 0, err
		}
		for i, v := range result {
			model.Params[i] -= rate * v
		}
	}
	right := 0
	for i := range test.Labels {
		if model.Predict(test.Row(i)) == test.Labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(test.Labels)), nil
}

// aggregator returns what combines the updates; clipping starts from the last result.
func aggregator(name string) (func(dst []float32, updates [][]float32) error, error) {
	if name == Plain {
		return func(dst []float32, updates [][]float32) error {
			clear(dst)
			for _, u := range updates {
				for i, v := range u {
					dst[i] += v / float32(len(updates))
				}
			}
			return nil
		}, nil
	}
	r, err := robust.Parse(name)
	if err != nil {
		return nil, err
	}
	var last []float32
	return func(dst []float32, updates [][]float32) error {
		_, err := r.Aggregate(dst, updates, nil, last)
		if r.Referenced() {
			last = slices.Clone(dst)
		}
		return err
	}, nil
}

// swarm is the senders: the honest first.
type swarm struct {
	attack  string
	honest  int
	rng     *rand.Rand
	data    toy.Data
	shards  [][]int     // of the data, for each sender
	own     [][]float32 // momentum: what an honest sender sends
	updates [][]float32
	work    toy.Scratch
}

func newSwarm(cfg Config, rng *rand.Rand, d toy.Data) *swarm {
	s := &swarm{attack: cfg.Attack, honest: senders - cfg.Liars, rng: rng, data: d}
	order := rng.Perm(len(d.Labels))
	if cfg.Sorted {
		slices.SortStableFunc(order, func(a, b int) int { return d.Labels[a] - d.Labels[b] })
	}
	for i := range senders {
		k := i % s.honest // a liar has the data of an honest sender
		s.shards = append(s.shards, order[k*len(order)/s.honest:(k+1)*len(order)/s.honest])
		s.own = append(s.own, make([]float32, toy.Params))
		s.updates = append(s.updates, make([]float32, toy.Params))
	}
	return s
}

// send does one step of every sender.
func (s *swarm) send(m *toy.Model) {
	gradient := make([]float32, toy.Params)
	for i := range senders {
		clear(gradient)
		for range batchSize {
			k := s.shards[i][s.rng.IntN(len(s.shards[i]))]
			label := s.data.Labels[k]
			if i >= s.honest && s.attack == LabelFlip {
				label = toy.Classes - 1 - label
			}
			m.Gradient(&s.work, gradient, s.data.Row(k), label)
		}
		for k, g := range gradient {
			s.own[i][k] = momentum*s.own[i][k] + (1-momentum)*g/batchSize
		}
		copy(s.updates[i], s.own[i])
	}
	for i := s.honest; i < senders; i++ {
		Lie(s.attack, s.updates[i], s.own[:s.honest], s.rng)
	}
}

// Lie makes of u, what an honest sender would send, what a liar sends that knows what all the
// honest send.
func Lie(attack string, u []float32, honest [][]float32, rng *rand.Rand) {
	times := func(factor float32) {
		for i := range u {
			u[i] *= factor
		}
	}
	switch attack {
	case SignFlip:
		times(-1)
	case SignFlip10:
		times(-10)
	case Scaled:
		times(1000)
	case Zero:
		clear(u)
	case NaN:
		u[0] = float32(math.NaN())
	case Mimic:
		copy(u, honest[0])
	case Noise:
		for i := range u {
			u[i] = 10 * float32(rng.NormFloat64())
		}
	case IPM, ALIE:
		for i := range u {
			sum, squares := 0.0, 0.0
			for _, v := range honest {
				sum += float64(v[i])
				squares += float64(v[i]) * float64(v[i])
			}
			mean := sum / float64(len(honest))
			if attack == IPM {
				u[i] = float32(-0.1 * mean)
			} else {
				u[i] = float32(mean - 1.5*math.Sqrt(max(0, squares/float64(len(honest))-mean*mean)))
			}
		}
	}
}
