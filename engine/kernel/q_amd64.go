//go:build !noasm

package kernel

import (
	"unsafe"

	"github.com/covey-network/covey/engine/tensor"
)

// multiplyGroup computes 16 rows of one panel on a chosen instruction set. dst is
// (tokens, stride).
func multiplyGroup(isa ISA, f *quantFormat, dst []float32, stride int, group quantGroup, cells int, p *actPanel) {
	_ = dst[(p.tokens-1)*stride+lanes-1]
	to, acts := unsafe.SliceData(dst), unsafe.SliceData(p.data)
	scales, planes := unsafe.SliceData(group.scales), unsafe.SliceData(group.planes)
	switch isa {
	case AVX512:
		multiplyGroupAVX512(f.dtype, to, 4*stride, scales, planes, acts, cells, p.tokens)
	case AVX2:
		multiplyGroupAVX2(f.dtype, to, 4*stride, scales, planes, acts, cells, p.tokens)
	default:
		multiplyGroupGeneric(f, dst, stride, group, cells, *p)
	}
}

func multiplyGroupAVX512(d tensor.DType, dst *float32, stride int, scales, planes, acts *byte, cells, tokens int) {
	switch d {
	case tensor.Q4_0:
		quantQ40AVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q4_1:
		quantQ41AVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q5_0:
		quantQ50AVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q5_1:
		quantQ51AVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q8_0:
		quantQ80AVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q2_K:
		quantQ2KAVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q3_K:
		quantQ3KAVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q4_K:
		quantQ4KAVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q5_K:
		quantQ5KAVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q6_K:
		quantQ6KAVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.IQ4_NL:
		quantIQ4NLAVX512(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.IQ4_XS:
		quantIQ4XSAVX512(dst, stride, scales, planes, acts, cells, tokens)
	}
}

func multiplyGroupAVX2(d tensor.DType, dst *float32, stride int, scales, planes, acts *byte, cells, tokens int) {
	switch d {
	case tensor.Q4_0:
		quantQ40AVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q4_1:
		quantQ41AVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q5_0:
		quantQ50AVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q5_1:
		quantQ51AVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q8_0:
		quantQ80AVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q2_K:
		quantQ2KAVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q3_K:
		quantQ3KAVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q4_K:
		quantQ4KAVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q5_K:
		quantQ5KAVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.Q6_K:
		quantQ6KAVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.IQ4_NL:
		quantIQ4NLAVX2(dst, stride, scales, planes, acts, cells, tokens)
	case tensor.IQ4_XS:
		quantIQ4XSAVX2(dst, stride, scales, planes, acts, cells, tokens)
	}
}

// quantizeRow writes x as token number t of the panel.
func quantizeRow(isa ISA, p *actPanel, t int, x []float32) {
	if isa == Generic {
		quantizeRowGeneric(p, t, x)
		return
	}
	values := &p.data[t*subLen]
	fields := &p.data[p.tokens*subLen+4*t]
	quantizeRowAVX2(values, fields, unsafe.SliceData(x), len(x)/subLen, p.tokens*actTokenBytes, 4*p.tokens)
}
