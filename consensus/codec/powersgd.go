package codec

import (
	"fmt"
	"math"
	"sort"

	"github.com/covey-network/covey/consensus/vec"
)

const (
	maxRank = 64
	// maxPower is the largest magnitude that powersgd takes: its products stay finite.
	maxPower = 0x1p90
)

// powerSGD writes a matrix M (rows, cols) as the product of P (rows, rank) and Q (cols, rank):
// one step of subspace iteration from the Q of the last time, P = orthogonal(M·Q), Q = Mᵀ·P
// (Vogels, Karimireddy and Jaggi, "PowerSGD", 2019, algorithm 1, on one sender's matrix).
// The columns of P, then of Q, are int8 vectors each by itself; Q is made from the P that
// is sent. What is not in a matrix that becomes half as long, and rows that a range cuts, are
// int8 vectors. All is in the order of the vector.
type powerSGD struct {
	rank   int
	layout Layout
	starts []int // of segments, in the vector
	warms  []int // of segments, in the state: Qᵀ (rank, cols) of those that can be products
	state  int
}

func newPowerSGD(layout Layout, rank int) *powerSGD {
	p := &powerSGD{rank: rank, layout: layout}
	at := 0
	for _, s := range layout {
		p.starts, p.warms = append(p.starts, at), append(p.warms, p.state)
		if p.worth(s.Rows, s.Cols) {
			p.state += rank * s.Cols
		}
		at += s.Rows * s.Cols
	}
	return p
}

// worth reports whether a product has at most half of the values.
func (p *powerSGD) worth(rows, cols int) bool { return 2*p.rank*(rows+cols) <= rows*cols }

func (p *powerSGD) warm() int { return p.state }

// run is a part of a range that is written in one way: a matrix as a product, or values.
type run struct {
	at, n   int // in the range
	segment int // of a product, else -1
	rows    int
}

// runs calls f for each run of the n values from lo on.
func (p *powerSGD) runs(lo, n int, f func(run) error) error {
	plain := run{segment: -1}
	values := func(n int) { plain.n += n }
	flush := func(next int) (err error) {
		if plain.n > 0 {
			err = f(plain)
		}
		plain = run{at: next, segment: -1}
		return err
	}
	hi := lo + n
	for i := sort.SearchInts(p.starts, lo+1) - 1; i < len(p.layout) && lo < hi; i++ {
		s := p.layout[i]
		to := min(hi, p.starts[i]+s.Rows*s.Cols)
		first := (lo - p.starts[i] + s.Cols - 1) / s.Cols // whole rows
		rows := max(0, (to-p.starts[i])/s.Cols-first)
		if p.worth(rows, s.Cols) {
			start := p.starts[i] + first*s.Cols
			values(start - lo)
			m := run{at: start - (hi - n), n: rows * s.Cols, segment: i, rows: rows}
			if err := flush(m.at + m.n); err != nil {
				return err
			}
			if err := f(m); err != nil {
				return err
			}
			lo = start + m.n
		}
		values(to - lo)
		lo = to
	}
	return flush(0)
}

// factors returns the bytes of P and Q of a run.
func (p *powerSGD) factors(m run) (forP, forQ int) {
	return p.rank * int8s{}.size(0, m.rows), p.rank * int8s{}.size(0, p.layout[m.segment].Cols)
}

func (p *powerSGD) size(lo, n int) int {
	size := 0
	_ = p.runs(lo, n, func(m run) error {
		if m.segment < 0 {
			size += int8s{}.size(0, m.n)
			return nil
		}
		forP, forQ := p.factors(m)
		size += forP + forQ
		return nil
	})
	return size
}

func (p *powerSGD) encode(dst []byte, x []float32, at place) error {
	for part := x; len(part) > 0; part = part[min(piece, len(part)):] {
		if top := vec.MaxAbs(part[:min(piece, len(part))]); !(top <= maxPower) {
			return fmt.Errorf("%w, or above %v", ErrNotFinite, float32(maxPower))
		}
	}
	written := 0
	return p.runs(at.lo, len(x), func(m run) error {
		at := place{off: at.off + written, seed: at.seed, warm: at.warm}
		values, n := x[m.at:m.at+m.n], 0
		if m.segment < 0 {
			n = int8s{}.size(0, m.n)
			if err := (int8s{}).encode(dst[:n], values, at); err != nil {
				return err
			}
		} else {
			forP, forQ := p.factors(m)
			n = forP + forQ
			if err := p.encodeMatrix(dst[:n], values, m, at); err != nil {
				return err
			}
		}
		dst = dst[n:]
		written += n
		return nil
	})
}

func (p *powerSGD) encodeMatrix(dst []byte, x []float32, m run, at place) error {
	cols := p.layout[m.segment].Cols
	q := at.warm[p.warms[m.segment]:][:p.rank*cols]
	left := make([]float32, p.rank*m.rows)
	forP, _ := p.factors(m)
	rounds := 1
	for r := range p.rank {
		if v := q[r*cols : (r+1)*cols]; !normalize(v) {
			fill(v, at.seed+uint64(at.off+r))
			normalize(v)
			rounds = 2 // random directions want a step more
		}
	}
	for round := range rounds {
		for i := range m.rows {
			for r := range p.rank {
				left[r*m.rows+i] = vec.Dot(x[i*cols:(i+1)*cols], q[r*cols:(r+1)*cols])
			}
		}
		orthogonalize(left, p.rank, m.rows)
		if round == rounds-1 {
			if err := p.encodeColumns(dst[:forP], left, m.rows, at); err != nil {
				return err
			}
		}
		clear(q)
		for i := range m.rows {
			for r := range p.rank {
				vec.AddScaled(q[r*cols:(r+1)*cols], left[r*m.rows+i], x[i*cols:(i+1)*cols])
			}
		}
		if round < rounds-1 {
			orthogonalize(q, p.rank, cols)
		}
	}
	at.off += forP
	if err := p.encodeColumns(dst[forP:], q, cols, at); err != nil {
		return err
	}
	p.product(x, left, q, m.rows, cols)
	return nil
}

// encodeColumns writes rank vectors of n values, each by itself.
func (p *powerSGD) encodeColumns(dst []byte, v []float32, n int, at place) error {
	size := int8s{}.size(0, n)
	for r := range p.rank {
		if err := (int8s{}).encode(dst[r*size:(r+1)*size], v[r*n:(r+1)*n], at); err != nil {
			return err
		}
		at.off += size
	}
	return nil
}

// product sets x (rows, cols) to the product of leftᵀ (rank, rows) and q (rank, cols).
func (p *powerSGD) product(x, left, q []float32, rows, cols int) {
	clear(x)
	for i := range rows {
		for r := range p.rank {
			vec.AddScaled(x[i*cols:(i+1)*cols], left[r*rows+i], q[r*cols:(r+1)*cols])
		}
	}
}

func (p *powerSGD) decode(dst []float32, b []byte, lo int) error {
	return p.runs(lo, len(dst), func(m run) error {
		values := dst[m.at : m.at+m.n]
		if m.segment < 0 {
			n := int8s{}.size(0, m.n)
			err := int8s{}.decode(values, b[:n], 0)
			b = b[n:]
			return err
		}
		cols := p.layout[m.segment].Cols
		left, q := make([]float32, p.rank*m.rows), make([]float32, p.rank*cols)
		for _, f := range []struct {
			v []float32
			n int
		}{{left, m.rows}, {q, cols}} {
			size := int8s{}.size(0, f.n)
			for r := range p.rank {
				if err := (int8s{}).decode(f.v[r*f.n:(r+1)*f.n], b[:size], 0); err != nil {
					return fmt.Errorf("matrix %d: %w", m.segment, err)
				}
				b = b[size:]
			}
		}
		p.product(values, left, q, m.rows, cols)
		return allFinite(values)
	})
}

// orthogonalize makes the n vectors of v (n, length) orthogonal and of length 1, in their
// order (Gram and Schmidt, twice against each); what depends on those before it becomes 0.
func orthogonalize(v []float32, n, length int) {
	for r := range n {
		a := v[r*length : (r+1)*length]
		if !normalize(a) {
			continue
		}
		for range 2 {
			for s := range r {
				b := v[s*length : (s+1)*length]
				vec.AddScaled(a, -vec.Dot(a, b), b)
			}
		}
		if vec.Dot(a, a) < 1e-8 {
			clear(a)
			continue
		}
		normalize(a)
	}
}

// normalize scales v to length 1. If it is shorter than anything that counts it becomes 0,
// and false is returned.
func normalize(v []float32) bool {
	top := vec.MaxAbs(v)
	if top < tiny {
		clear(v)
		return false
	}
	scale(v, 1/top) // so that no square overflows
	scale(v, 1/float32(math.Sqrt(float64(vec.Dot(v, v)))))
	return true
}

func scale(v []float32, by float32) {
	for i := range v {
		v[i] *= by
	}
}

// fill sets v to random values (splitmix64).
func fill(v []float32, seed uint64) {
	for i := range v {
		z := seed + uint64(i+1)*0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		v[i] = float32(int32((z^z>>31)>>40) - 1<<23)
	}
}
