package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// chunk is the number of values of which the largest are kept together. Their indices are
// coded as Elias and Fano did: the low bits as they are, the high ones in unary, about 2 bits
// more an index than the logarithm of the distance between two (7.6 at 2 %, where indices of
// 12 bits each cost 12). The length is known beforehand.
const chunk = 4096

const (
	minTopKBits, maxTopKBits = 2, 8
	minDensity, maxDensity   = 1.0 / chunk, 0.5
)

// topK keeps of each chunk the values of largest magnitude; others are 0. A chunk is: two
// bfloat16, the smallest and the largest magnitude; then in bits, the lowest first, the high
// parts of the indices, their low parts, and for each value a sign and a step between the two
// magnitudes; the rest of the last byte is 0.
type topK struct {
	density float64
	bits    int // of a value, the sign included
}

func parseTopK(parameters string) (topK, error) {
	density, width, _ := strings.Cut(parameters, ":")
	d, err := strconv.ParseFloat(density, 64)
	if err != nil || !(d >= minDensity && d <= maxDensity) {
		return topK{}, fmt.Errorf("the density %q is not from %v to %v, as in topk:0.02:2", density, minDensity, maxDensity)
	}
	w, err := strconv.Atoi(width)
	if err != nil || w < minTopKBits || w > maxTopKBits {
		return topK{}, fmt.Errorf("the bits of a value %q are not from %d to %d, as in topk:0.02:2", width, minTopKBits, maxTopKBits)
	}
	return topK{d, w}, nil
}

func (t topK) String() string {
	return "topk:" + strconv.FormatFloat(t.density, 'g', -1, 64) + ":" + strconv.Itoa(t.bits)
}

// form is the shape of the encoding of a chunk.
type form struct {
	keep  int // values
	low   int // bits of an index that are written as they are
	high  int // bits of all that is in unary
	bytes int
}

func (t topK) form(n int) form {
	f := form{keep: max(1, int(math.Floor(t.density*float64(n))))}
	best := -1
	for low := range 12 {
		if high := f.keep + (n-1)>>low; best < 0 || high+f.keep*low < best {
			best, f.low, f.high = high+f.keep*low, low, high
		}
	}
	f.bytes = 4 + (best+f.keep*t.bits+7)/8
	return f
}

func (t topK) warm() int { return 0 }

func (t topK) size(_, n int) int {
	size := n / chunk * t.form(chunk).bytes
	if n%chunk > 0 {
		size += t.form(n % chunk).bytes
	}
	return size
}

func (t topK) encode(dst []byte, x []float32, _ place) error {
	for len(x) > 0 {
		n := min(chunk, len(x))
		f := t.form(n)
		if err := t.encodeChunk(dst[:f.bytes], x[:n], f); err != nil {
			return err
		}
		dst, x = dst[f.bytes:], x[n:]
	}
	return nil
}

// kept are the values of a chunk that are sent.
type kept struct {
	n         int
	index     [chunk / 2]uint16
	magnitude [chunk / 2]float32
	code      [chunk / 2]uint8 // sign in the lowest bit, then the step
}

func (t topK) encodeChunk(dst []byte, x []float32, f form) error {
	var k kept
	if !k.choose(x, f.keep) {
		return ErrNotFinite
	}
	lo, hi := k.levels(1 << (t.bits - 1))
	values := t.values(lo, hi)
	for j, i := range k.index[:k.n] {
		step := nearest(k.magnitude[j], lo, hi, 1<<(t.bits-1))
		k.code[j] = uint8(step << 1)
		if values[step] != 0 {
			k.code[j] |= uint8(math.Float32bits(x[i]) >> 31)
		}
	}
	binary.LittleEndian.PutUint16(dst, uint16(math.Float32bits(lo)>>16))
	binary.LittleEndian.PutUint16(dst[2:], uint16(math.Float32bits(hi)>>16))
	w := bitWriter{b: dst[4:]}
	before := 0
	for j, i := range k.index[:k.n] {
		at := int(i)>>f.low + j
		for ; before < at; before++ {
			w.put(0, 1)
		}
		w.put(1, 1)
		before++
	}
	for ; before < f.high; before++ {
		w.put(0, 1)
	}
	for _, i := range k.index[:k.n] {
		w.put(uint64(i)&(1<<f.low-1), f.low)
	}
	clear(x)
	for j, c := range k.code[:k.n] {
		w.put(uint64(c), t.bits)
		x[k.index[j]] = signed(values[c>>1], c)
	}
	w.flush()
	return nil
}

// values returns the magnitudes of the steps.
func (t topK) values(lo, hi float32) (v [128]float32) {
	last := 1<<(t.bits-1) - 1
	for i := range last + 1 {
		// The weights are exact and add up to 1: nothing overflows.
		w := float32(i) / float32(last)
		v[i] = float32(lo*(1-w)) + float32(hi*w)
	}
	return v
}

func signed(v float32, code uint8) float32 {
	return math.Float32frombits(math.Float32bits(v) | uint32(code)<<31)
}

func (t topK) decode(dst []float32, b []byte, _ int) error {
	for i := 0; len(dst) > 0; i++ {
		n := min(chunk, len(dst))
		f := t.form(n)
		if err := t.decodeChunk(dst[:n], b[:f.bytes], f); err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
		dst, b = dst[n:], b[f.bytes:]
	}
	return nil
}

func (t topK) decodeChunk(dst []float32, b []byte, f form) error {
	loBits, hiBits := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
	if loBits&0x7f80 == 0x7f80 || hiBits&0x7f80 == 0x7f80 {
		return fmt.Errorf("%w: a limit of magnitudes", ErrNotFinite)
	}
	if loBits > hiBits || hiBits > 0x7f7f {
		return fmt.Errorf("%w: magnitudes from %#x to %#x", ErrMalformed, loBits, hiBits)
	}
	lo, hi := math.Float32frombits(uint32(loBits)<<16), math.Float32frombits(uint32(hiBits)<<16)
	values := t.values(lo, hi)
	clear(dst)
	var index [chunk / 2]uint16
	r := bitReader{b: b[4:]}
	n := 0
	for at := range f.high {
		if r.get(1) == 0 {
			continue
		}
		if n == f.keep {
			return fmt.Errorf("%w: more than %d indices", ErrMalformed, f.keep)
		}
		index[n] = uint16((at - n) << f.low)
		n++
	}
	if n != f.keep {
		return fmt.Errorf("%w: %d indices, want %d", ErrMalformed, n, f.keep)
	}
	for j := range n {
		index[j] |= uint16(r.get(f.low))
		if int(index[j]) >= len(dst) || j > 0 && index[j] <= index[j-1] {
			return fmt.Errorf("%w: index %d of %d values is out of range or of order", ErrMalformed, index[j], len(dst))
		}
	}
	for _, i := range index[:n] {
		c := uint8(r.get(t.bits))
		v := values[c>>1]
		if v == 0 && c&1 != 0 || lo == hi && c>>1 != 0 {
			return fmt.Errorf("%w: value %#x says the same as another", ErrMalformed, c)
		}
		dst[i] = signed(v, c)
	}
	if r.rest() != 0 {
		return fmt.Errorf("%w: bits behind the last value are set", ErrMalformed)
	}
	return nil
}

// choose keeps the n largest magnitudes, of equal ones the first. It reports whether all
// values are finite.
func (k *kept) choose(x []float32, n int) bool {
	var magnitudes, candidates [chunk]uint32
	var counts [2][256]uint16 // two, because equal neighbours would wait for each other
	for i, v := range x {
		m := math.Float32bits(v) &^ (1 << 31)
		magnitudes[i] = m
		counts[i&1][m>>23]++
	}
	if counts[0][255]|counts[1][255] != 0 {
		return false
	}
	// Find the n-th magnitude, from the exponent down; left is how many of those that begin
	// like it are to be kept.
	left, digit := n, 255
	for ; int(counts[0][digit]+counts[1][digit]) < left; digit-- {
		left -= int(counts[0][digit] + counts[1][digit])
	}
	found := 0
	for _, m := range magnitudes[:len(x)] {
		candidates[found&(chunk-1)] = m
		found += int(((m>>23 ^ uint32(digit)) - 1) >> 31) // 1 where equal, without a jump
	}
	same := candidates[:found]
	limit := uint32(digit) << 23
	for _, shift := range []int{15, 7, 0} {
		var count [256]uint16
		mask := uint32(0xff)
		if shift == 0 {
			mask = 0x7f
		}
		for _, m := range same {
			count[m>>shift&mask]++
		}
		digit = 255
		for ; int(count[digit]) < left; digit-- {
			left -= int(count[digit])
		}
		limit |= uint32(digit) << shift
		fewer := same[:0]
		for _, m := range same {
			if m>>shift&mask == uint32(digit) {
				fewer = append(fewer, m)
			}
		}
		same = fewer
	}
	for i, m := range magnitudes[:len(x)] {
		if m < limit || m == limit && left == 0 {
			continue
		}
		if m == limit {
			left--
		}
		k.index[k.n], k.magnitude[k.n] = uint16(i), math.Float32frombits(m)
		k.n++
	}
	return true
}

// levels returns the magnitudes of the first and the last of n steps, both bfloat16, that come
// near the kept ones: from their limits on, least squares thrice.
func (k *kept) levels(n int) (lo, hi float32) {
	lo, hi = math.MaxFloat32, 0
	for _, m := range k.magnitude[:k.n] {
		lo, hi = min(lo, m), max(hi, m)
	}
	if hi < tiny {
		return 0, 0
	}
	first, last := lo, hi
	for range 3 {
		var q, qq, m, qm float64
		for _, v := range k.magnitude[:k.n] {
			s := float64(nearest(v, lo, hi, n))
			q += s
			qq += float64(s * s)
			m += float64(v)
			qm += float64(s * float64(v))
		}
		count := float64(k.n)
		det := float64(count*qq) - float64(q*q)
		if det <= 0 {
			break
		}
		step := (float64(count*qm) - float64(q*m)) / det
		base := (m - float64(step*q)) / count
		top := base + float64(step*float64(n-1))
		lo = max(first, float32(base))
		hi = min(last, max(lo, float32(top)))
	}
	return bfloat(lo), bfloat(hi)
}

// nearest returns the step of n between two magnitudes that is nearest to v.
func nearest(v, lo, hi float32, n int) int {
	if !(hi > lo) {
		return 0
	}
	at := (float64(v) - float64(lo)) / (float64(hi) - float64(lo))
	return int(min(max(math.Floor(float64(at*float64(n-1))+0.5), 0), float64(n-1)))
}

// bfloat rounds a finite value that is not negative to a finite bfloat16.
func bfloat(v float32) float32 {
	b := math.Float32bits(v)
	b = (b + 0x7fff + b>>16&1) &^ 0xffff
	return math.Float32frombits(min(b, 0x7f7f0000))
}

// bitWriter fills b, the lowest bit of a byte first.
type bitWriter struct {
	b    []byte
	acc  uint64
	n    int // bits in acc, below 8
	next int
}

// put writes the n lowest bits of v, at most 56; the others are 0.
func (w *bitWriter) put(v uint64, n int) {
	w.acc |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.b[w.next] = byte(w.acc)
		w.next++
		w.acc >>= 8
	}
}

func (w *bitWriter) flush() {
	if w.n > 0 {
		w.put(0, 8-w.n)
	}
}

// bitReader reads what [bitWriter] wrote; behind the end are zeros.
type bitReader struct {
	b    []byte
	acc  uint64
	n    int
	next int
}

// get reads n bits, at most 56.
func (r *bitReader) get(n int) uint64 {
	for ; r.n < n; r.n += 8 {
		if r.next < len(r.b) {
			r.acc |= uint64(r.b[r.next]) << r.n
		}
		r.next++
	}
	v := r.acc & (1<<n - 1)
	r.acc >>= n
	r.n -= n
	return v
}

// rest returns the bits of the last byte that were not read.
func (r *bitReader) rest() uint64 { return r.acc }
