package kernel

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/covey-network/covey/engine/tensor"
)

// floatMatrix holds float weights in the precision of the file: groups of 16 rows, padded
// with rows of zeros, each (cols, 16). One of single and half is set.
type floatMatrix struct {
	dtype      tensor.DType
	rows, cols int
	single     []float32
	half       []uint16 // F16, BF16
}

func packFloat(d tensor.DType, rows, cols int, data []byte) (*floatMatrix, error) {
	m := &floatMatrix{dtype: d, rows: rows, cols: cols}
	le, size := binary.LittleEndian, m.groups()*lanes*cols
	switch d {
	case tensor.F32:
		m.single = weightSlice[float32](size)
		for i := range rows {
			out := m.single[i/lanes*lanes*cols+i%lanes:]
			for k := range cols {
				out[k*lanes] = math.Float32frombits(le.Uint32(data[4*(i*cols+k):]))
			}
		}
		settleSlice(m.single)
	case tensor.F16, tensor.BF16:
		m.half = weightSlice[uint16](size)
		for i := range rows {
			out := m.half[i/lanes*lanes*cols+i%lanes:]
			for k := range cols {
				out[k*lanes] = le.Uint16(data[2*(i*cols+k):])
			}
		}
		settleSlice(m.half)
	default:
		return nil, fmt.Errorf("matrix of type %s: not a float type with a kernel", d)
	}
	return m, nil
}

func (m *floatMatrix) groups() int { return (m.rows + lanes - 1) / lanes }

func (m *floatMatrix) bytes() int64 { return int64(len(m.single))*4 + int64(len(m.half))*2 }

// expand writes columns [k, k+n) of a group as float32 (n, 16).
func (m *floatMatrix) expand(isa ISA, dst []float32, group, k, n int) {
	at := (group*m.cols + k) * lanes
	src := m.half[at : at+n*lanes]
	if m.dtype == tensor.BF16 {
		for i := bf16SIMD(isa, dst, src); i < len(src); i++ {
			dst[i] = tensor.BF16ToF32(src[i])
		}
		return
	}
	for i := f16SIMD(isa, dst, src); i < len(src); i++ {
		dst[i] = tensor.F16ToF32(src[i])
	}
}

// unitGroups groups of rows are computed together; columnBlock is how many columns are
// done for all tokens before the next ones, so that a unit's weights stay in the caches.
const (
	unitGroups  = 4
	columnBlock = 256
)

// floatActs is the input of a product: x itself, row-major.
type floatActs struct {
	x       []float32
	scratch scratchList
	task    floatTask
}

func (a *floatActs) prepare(_ *Pool, x []float32, _, _ int) { a.x = x }

// matMul computes dst (n, rows).
func (m *floatMatrix) matMul(isa ISA, p *Pool, dst []float32, n int, a *floatActs) {
	a.task = floatTask{isa: isa, m: m, dst: dst, n: n, acts: a}
	p.Run((m.groups()+unitGroups-1)/unitGroups, 1, &a.task)
	a.task = floatTask{}
}

// floatTask computes units of four groups of rows for all tokens.
type floatTask struct {
	isa  ISA
	m    *floatMatrix
	dst  []float32
	n    int
	acts *floatActs
}

func (t *floatTask) Do(lo, hi int) {
	var wide []float32
	if t.m.half != nil {
		wide = t.acts.scratch.get(unitGroups * columnBlock * lanes)
		defer t.acts.scratch.put(wide)
	}
	for unit := lo; unit < hi; unit++ {
		first := unit * unitGroups
		t.unit(first, min(first+unitGroups, t.m.groups()), wide)
	}
}

// unit computes the groups [first, last).
func (t *floatTask) unit(first, last int, wide []float32) {
	m := t.m
	if m.half != nil && t.n == 1 && t.single(first, last) {
		return
	}
	block := columnBlock
	if m.half == nil && t.n <= tileRows {
		block = m.cols // the weights are used only once
	}
	for k := 0; k < m.cols; k += block {
		n := min(block, m.cols-k)
		w, stride := []float32(nil), n*lanes
		if m.half == nil {
			w, stride = m.single[(first*m.cols+k)*lanes:], m.cols*lanes
		} else {
			for g := first; g < last; g++ {
				m.expand(t.isa, wide[(g-first)*stride:], g, k, n)
			}
			w = wide
		}
		b := product{
			isa: t.isa, w: w, wStride: stride, dst: t.dst[first*lanes:], dstStride: m.rows,
			x: t.acts.x[k:], xStride: m.cols, k: n, more: k > 0,
		}
		full := last - first
		if last*lanes > m.rows {
			full--
			part := b
			part.w, part.dst = w[full*stride:], t.dst[(last-1)*lanes:]
			part.partial(t.n, m.rows%lanes)
		}
		b.run(t.n, full)
	}
}

// single computes groups of half-precision weights for one token without widening them in
// memory first. It reports whether it did.
func (t *floatTask) single(first, last int) bool {
	m := t.m
	var out [unitGroups * lanes]float32
	w := m.half[first*m.cols*lanes : last*m.cols*lanes]
	if !halfSIMD(t.isa, out[:], w, t.acts.x[:m.cols], last-first, m.dtype == tensor.BF16) {
		return false
	}
	copy(t.dst[first*lanes:m.rows], out[:(last-first)*lanes])
	return true
}
