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

func convPickSIMD(ISA, []float32, []float32, []float32, *convIndex) bool { return false }

func convTransposeSIMD(ISA, []float32, []int, []float32, int, int) bool { return false }

func convSplitSIMD(ISA, []float32, []float32, int, []float32, int) bool { return false }

func convSpreadSIMD(ISA, []float32, []int32, []float32) int { return 0 }

func convRowsSIMD(ISA, []float32, int, []float32, int) bool { return false }

func maxPairsSIMD(ISA, []float32, []int32, []float32, int) bool { return false }

func maxPairsBackSIMD(ISA, []float32, []int32, []float32, int) bool { return false }

func convZipSIMD(ISA, []float32, []int, []float32, []float32) bool { return false }
