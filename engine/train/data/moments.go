package data

import "math"

// Moments are sums over some values: how many there are, their mean, and the squares of what they
// differ from it, summed. The zero value is of none.
type Moments struct {
	Count         int
	Mean, Squares float64
}

// Plus returns the moments of the values of both (Chan, Golub and LeVeque 1979, Updating formulae
// and a pairwise algorithm for computing sample variances, equation 2.1). The order of more than two
// decides the last bits.
func (m Moments) Plus(o Moments) Moments {
	switch {
	case o.Count == 0:
		return m
	case m.Count == 0:
		return o
	}
	n := float64(m.Count) + float64(o.Count)
	d, share := o.Mean-m.Mean, float64(o.Count)/n
	between := float64(d * d)
	between = float64(between * float64(float64(m.Count)*share))
	return Moments{Count: m.Count + o.Count, Mean: m.Mean + float64(d*share), Squares: m.Squares + o.Squares + between}
}

// Scale returns what [Column] has as Mean and Std of such values. Where all are equal, or there are
// none, Std is 1.
func (m Moments) Scale() (mean, std float64) {
	if std = math.Sqrt(m.Squares / max(float64(m.Count), 1)); !(std > 0) || math.IsInf(std, 0) {
		std = 1
	}
	return m.Mean, std
}

// Moments returns those of the numbers of a column in some rows, which are in the table.
func (t *Table) Moments(column int, rows []int) (m Moments) {
	for pass := range 2 {
		for _, i := range rows {
			v := t.cells[i*len(t.columns)+column]
			switch {
			case math.IsNaN(v):
			case pass == 0:
				m.Count++
				m.Mean += v
			default:
				m.Squares += float64((v - m.Mean) * (v - m.Mean))
			}
		}
		if pass == 0 {
			m.Mean /= max(float64(m.Count), 1)
		}
	}
	return m
}

// Rescale gives columns of numbers that are standardised another mean and deviation. It is for who
// alone has the table, and all views of it, and has not begun to read it.
func (t *Table) Rescale(column int, mean, std float64) {
	if c := &t.columns[column]; c.Kind == Number && c.Std != 0 {
		c.Mean, c.Std = mean, std
	}
}
