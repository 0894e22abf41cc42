package data

import "math"

// shown is a number as it stands in a table: it may be off by half a unit of its last digit. Its
// value is NaN where there is none.
type shown struct{ value, half float64 }

// section is what some rows have in their columns.
type section struct {
	rows    int
	columns []running
}

// running is what is known of the numbers of a column.
type running struct {
	numbers       int
	sum, size     float64 // size is the sum of the magnitudes
	terms         int     // that are not 0
	low, high     float64
	half, squares float64 // what the numbers may be off by: the sum, and that of the squares
}

func newSection(columns int) section { return section{columns: make([]running, columns)} }

func (s *section) add(row []shown) {
	s.rows++
	for c, n := range row {
		of := &s.columns[c]
		if math.IsNaN(n.value) {
			continue
		}
		if of.numbers == 0 {
			of.low, of.high = n.value, n.value
		}
		of.low, of.high = min(of.low, n.value), max(of.high, n.value)
		of.numbers++
		of.sum, of.size = of.sum+n.value, of.size+math.Abs(n.value)
		of.half, of.squares = of.half+n.half, of.squares+float64(n.half*n.half)
		if n.value != 0 {
			of.terms++
		}
	}
}

// rounding is by how much the sum of a column may be off that of the numbers before they were
// rounded to what is shown. Each is off by half a unit of its last digit at most. Such errors are
// spread evenly, so that their variance is a third of the square of the half, and that of the sum
// is the sum of theirs: beyond four standard deviations are 6 sums of 100,000. A row that is called
// a total may be off by all halves.
func (of *running) rounding(called bool) float64 {
	const deviations = 4
	if called {
		return of.half
	}
	return min(of.half, deviations*math.Sqrt(of.squares/3))
}

// totalled returns how many numbers of a row are the sums of several others in their columns, 0 if
// one of them is not the sum of its column, or if they are too few to tell a total. Without a title
// the sum must be so large that rounding hardly counts beside it: otherwise it must be exact.
func (s *section) totalled(row []shown, missing int, called bool) (sums int) {
	for c, n := range row {
		if math.IsNaN(n.value) {
			continue
		}
		of := &s.columns[c]
		off, exact := math.Abs(n.value-of.sum), totalError*of.size
		may := of.rounding(called) + n.half
		if !called && may > roundingShare*math.Abs(of.sum) {
			may = 0
		}
		switch beyond := math.Abs(n.value) > max(math.Abs(of.low), math.Abs(of.high)); {
		case off > exact && off > exact+may:
			return 0
		case of.terms > 1 && of.sum != 0 && (off <= exact || beyond): // what other rows have tells nothing
			sums++
		}
	}
	if s.rows < totalRows || !called && missing == 0 && (sums < 2 || s.rows < fullTotalRows) {
		return 0
	}
	return sums
}

// averaged returns how many numbers of a row are the means of their columns, 0 if one of them is
// not, or if a row of the table may have them by chance.
func (s *section) averaged(row []shown, called bool) (means int) {
	chance := 1.0
	for c, n := range row {
		if math.IsNaN(n.value) {
			continue
		}
		of := &s.columns[c]
		if of.numbers < totalRows {
			return 0
		}
		count := float64(of.numbers)
		may := n.half + (of.rounding(called)+totalError*of.size)/count
		off := math.Abs(n.value - of.sum/count)
		if called { // some divide by all rows, those without a number too
			off = min(off, math.Abs(n.value-of.sum/float64(s.rows)))
		}
		if off > may {
			return 0
		}
		means++
		if span := of.high - of.low; span > 0 {
			chance *= min(1, 2*may/span)
		}
	}
	if !called && float64(s.rows)*chance > meansByChance {
		return 0
	}
	return means
}

// extreme tells whether the numbers of a row are all the least of their columns, or all the largest,
// and how many they are.
func (s *section) extreme(row []shown) (which string, count int) {
	least, largest := 0, 0
	for c, n := range row {
		if math.IsNaN(n.value) {
			continue
		}
		if count++; n.value == s.columns[c].low {
			least++
		}
		if n.value == s.columns[c].high {
			largest++
		}
	}
	switch {
	case s.rows < totalRows:
	case least == count:
		return "least", count
	case largest == count:
		return "largest", count
	}
	return "", 0
}
