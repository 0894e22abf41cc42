//go:build !amd64 || noasm

package kernel

func quantGroup(_ ISA, f *quantFormat, dst []float32, stride int, group []byte, cells int, p *actPanel) {
	quantGroupGeneric(f, dst, stride, group, cells, *p)
}

func quantizeRow(_ ISA, p *actPanel, t int, x []float32) { quantizeRowGeneric(p, t, x) }
