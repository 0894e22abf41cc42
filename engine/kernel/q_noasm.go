//go:build !amd64 || noasm

package kernel

func multiplyGroup(_ ISA, f *quantFormat, dst []float32, stride int, group quantGroup, cells int, p *actPanel) {
	multiplyGroupGeneric(f, dst, stride, group, cells, *p)
}

func quantizeRow(_ ISA, p *actPanel, t int, x []float32) { quantizeRowGeneric(p, t, x) }
