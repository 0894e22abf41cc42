package net

// initial says what the first values of a parameter are.
type initial struct {
	kind  int
	scale float64
}

const (
	initConstant = iota // all scale
	initUniform         // in [-scale, scale)
	initNormal          // about 0 with standard deviation scale
)

func constant(v float64) initial    { return initial{initConstant, v} }
func uniform(bound float64) initial { return initial{initUniform, bound} }
func normal(std float64) initial    { return initial{initNormal, std} }

// fill writes the first values of a parameter. They depend on seed, name and index only,
// with the same bits on every machine.
func (i initial) fill(dst []float32, seed uint64, name string) {
	s := stream(seed ^ fnv1a(name))
	for k := range dst {
		switch i.kind {
		case initConstant:
			dst[k] = float32(i.scale)
		case initUniform:
			dst[k] = float32((2*unit(s.word(uint64(k))) - 1) * i.scale)
		case initNormal:
			dst[k] = float32(s.normal(uint64(k)) * i.scale)
		}
	}
}

// stream is a sequence of random words that is read at any place: the output function of
// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
type stream uint64

func (s stream) word(i uint64) uint64 {
	z := uint64(s) + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unit makes a number in [0, 1) of a word.
func unit(w uint64) float64 { return float64(w>>11) * 0x1p-53 }

// normal returns a number from nearly the standard normal distribution: the sum of twelve
// uniform ones less 6 (Irwin-Hall). It needs no logarithm, whose bits differ by machine, and
// stays below 6, which suits weights.
func (s stream) normal(i uint64) float64 {
	sum := -6.0
	for k := range uint64(12) {
		sum += unit(s.word(12*i + k))
	}
	return sum
}

// fnv1a hashes a name (FNV-1a, 64 bits).
func fnv1a(name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return h
}
