package kernel

// The operations of training are values made by a New function and run again and again:
// they own their tasks and their scratch, so that a step allocates nothing. One op is for
// one call at a time. What a call is given must not change until it returns; ops that keep
// something for the gradient say so.

// onISA is the instruction set of an op. Tests set another than the best one.
type onISA struct{ isa ISA }

// grainElements is the number of elements of cheap work that a goroutine takes at a time.
// Less than this stays on the caller: waking another goroutine costs about as much.
const grainElements = 8192

// grainRows returns how many rows of a width make a grain.
func grainRows(width int) int { return max(1, grainElements/max(width, 1)) }

// byISA picks the vector code of an instruction set other than [Generic].
func byISA[F any](isa ISA, avx2, avx512 F) F {
	if isa == AVX512 {
		return avx512
	}
	return avx2
}

// mapTask runs one elementwise function over slices: y from a and maybe b.
type mapTask struct {
	do      func(t *mapTask, lo, hi int)
	isa     ISA
	kind    int
	y, a, b []float32
	s       float32
	seed    uint64
}

func (t *mapTask) Do(lo, hi int) { t.do(t, lo, hi) }

// run computes n elements and lets go of the slices.
func (t *mapTask) run(p *Pool, n int) {
	p.Run(n, grainElements, t)
	*t = mapTask{}
}
