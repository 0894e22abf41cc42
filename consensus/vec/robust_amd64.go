//go:build !noasm

package vec

func finiteSIMD(Level, []float32) (int, bool)                                   { return 0, true }
func meanSIMD(Level, []float32, [][]float32, int, float32, float32) (int, bool) { return 0, true }
func combineSIMD(Level, []float32, [][]float32, []float64) int                  { return 0 }
func widenSIMD(Level, []float64, []float32) int                                 { return 0 }
func addSquaresSIMD(Level, []Lanes, []float64, []float64) int                   { return 0 }
func exchangeSIMD(_ Level, _ []float32, _ int, _ [][2]int32) int                { return 0 }
