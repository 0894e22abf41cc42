//go:build !amd64 || noasm

package kernel

func (t *convTile) tileSIMD(_, _ []float32, _ int, _ []int) bool { return false }

// Each function handles the first elements in vector code and returns how many: here none.

func bnSumSIMD(ISA, *bnLanes, []float32) int                                               { return 0 }
func bnSquaresSIMD(ISA, *bnLanes, []float32, float32) int                                  { return 0 }
func bnApplySIMD(ISA, []float32, []float32, float32, float32, float32, bool) int           { return 0 }
func bnGradSumsSIMD(ISA, *bnLanes, *bnLanes, []float32, []float32, []float32, float32) int { return 0 }
func bnGradApplySIMD(ISA, []float32, []float32, []float32, []float32, float32, float32, float32, float32) int {
	return 0
}
