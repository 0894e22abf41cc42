package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/tensor"
)

// BenchmarkMatMul measures products with quantised weights on two threads: one token with
// a matrix that no cache holds (GB/s of packed weights), small batches, and 256 tokens
// (GOP/s, two for each weight and token). Compare the former with BenchmarkRead.
func BenchmarkMatMul(b *testing.B) {
	for _, d := range quantTypes {
		var big *kernel.Matrix
		for _, n := range []int{1, 2, 4, 8, 32, 256} {
			rows, cols := 65536, 2048
			if n >= 32 {
				rows = 4096
			}
			b.Run(fmt.Sprintf("%v/n=%d", d, n), func(b *testing.B) {
				if big == nil || big.Rows() != rows {
					big = newMatrix(b, d, rows, cols, repeatedBlocks(d, rows, cols))
				}
				for _, isa := range kernel.Supported()[1:] {
					b.Run(isa.String(), func(b *testing.B) { benchmarkMatMul(b, isa, big, n) })
				}
			})
		}
	}
}

func benchmarkMatMul(b *testing.B, isa kernel.ISA, m *kernel.Matrix, n int) {
	p := newPool(b, min(2, runtime.GOMAXPROCS(0)))
	x := randomFloats(rand.New(rand.NewPCG(1, 1)), n*m.Cols())
	dst := make([]float32, n*m.Rows())
	var a kernel.Acts
	for b.Loop() {
		kernel.MatMulISA(isa, p, dst, x, n, m, &a)
	}
	each := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(float64(m.Bytes())/each/1e9, "GB/s")
	b.ReportMetric(2*float64(n)*float64(m.Rows())*float64(m.Cols())/each/1e9, "GOP/s")
}

// repeatedBlocks returns copies of a few random rows.
func repeatedBlocks(d tensor.DType, rows, cols int) []byte {
	pattern := randomBlocks(rand.New(rand.NewPCG(1, uint64(d))), d, 16, cols)
	data := make([]byte, rows/16*len(pattern))
	for at := 0; at < len(data); at += len(pattern) {
		copy(data[at:], pattern)
	}
	return data
}

// BenchmarkRead measures plain reads of 256 MiB on two threads.
func BenchmarkRead(b *testing.B) {
	p := newPool(b, min(2, runtime.GOMAXPROCS(0)))
	data := make([]uint64, 32<<20)
	for i := range data {
		data[i] = uint64(i)
	}
	var sum atomic.Uint64
	for b.Loop() {
		p.For(len(data)/4096, 16, func(lo, hi int) {
			var s [8]uint64
			for i := lo * 4096; i < hi*4096; i += 8 {
				v := (*[8]uint64)(unsafe.Pointer(&data[i]))
				s[0] |= v[0]
				s[1] |= v[1]
				s[2] |= v[2]
				s[3] |= v[3]
				s[4] |= v[4]
				s[5] |= v[5]
				s[6] |= v[6]
				s[7] |= v[7]
			}
			sum.Add(s[0] | s[1] | s[2] | s[3] | s[4] | s[5] | s[6] | s[7])
		})
	}
	b.ReportMetric(float64(b.N)*float64(8*len(data))/b.Elapsed().Seconds()/1e9, "GB/s")
}

// BenchmarkNewMatrix measures packing on one thread.
func BenchmarkNewMatrix(b *testing.B) {
	for _, d := range quantTypes {
		b.Run(d.String(), func(b *testing.B) {
			const rows, cols = 1024, 2048
			data := repeatedBlocks(d, rows, cols)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				newMatrix(b, d, rows, cols, data)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(rows*cols), "ns/weight")
		})
	}
}
