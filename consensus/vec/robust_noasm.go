//go:build !amd64 || noasm

package vec

// Each function handles the first elements, or rows, in vector code and returns how many: here none.

func meanSIMD(Level, []float32, [][]float32, int, float32, float32) (int, bool) { return 0, true }
func combineSIMD(Level, []float32, [][]float32, []float64) int                  { return 0 }
func widenSIMD(Level, []float64, []float32) int                                 { return 0 }
func addSquaresSIMD(Level, []Lanes, []float64, []float64) int                   { return 0 }
func exchangeSIMD(_ Level, _ []float32, _ int, _ [][2]int32) int                { return 0 }
