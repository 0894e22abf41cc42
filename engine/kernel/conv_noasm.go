//go:build !amd64 || noasm

package kernel

func (t *convTile) tileSIMD(_, _ []float32, _ int, _ []int) bool { return false }
