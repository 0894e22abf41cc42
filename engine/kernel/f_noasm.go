//go:build !amd64 || noasm

package kernel

// Each function handles the first elements in vector code and returns how many: here none.

func addSIMD(ISA, []float32, []float32) int                                                { return 0 }
func mulSIMD(ISA, []float32, []float32) int                                                { return 0 }
func scaleSIMD(ISA, []float32, []float32, float32) int                                     { return 0 }
func expSIMD(ISA, []float32, []float32) int                                                { return 0 }
func siluMulSIMD(ISA, []float32, []float32, []float32) int                                 { return 0 }
func geluSIMD(ISA, []float32) int                                                          { return 0 }
func geluTanhSIMD(ISA, []float32) int                                                      { return 0 }
func tanhSIMD(ISA, []float32) int                                                          { return 0 }
func ropeSIMD(ISA, []float32, []float32, []float32, []float32) int                         { return 0 }
func squaresSIMD(ISA, *lanesOf, []float32, float32) int                                    { return 0 }
func sumSIMD(ISA, *lanesOf, []float32) int                                                 { return 0 }
func maxSIMD(ISA, *lanesOf, []float32) int                                                 { return 0 }
func expSumSIMD(ISA, *lanesOf, []float32, float32) int                                     { return 0 }
func rmsApplySIMD(ISA, []float32, []float32, []float32, float32) int                       { return 0 }
func layerApplySIMD(ISA, []float32, []float32, []float32, []float32, float32, float32) int { return 0 }
func f16SIMD(ISA, []float32, []uint16) int                                                 { return 0 }
func bf16SIMD(ISA, []float32, []uint16) int                                                { return 0 }

func packRowsSIMD(_ ISA, _, _ []float32, _, _, _ int) int { return 0 }

func packWideSIMD(_ ISA, _ []float32, _ int, _ []float32, _, _, _ int) int { return 0 }

func packTilesSIMD(_ ISA, _ []float32, _ int, _ []float32, _, _, _ int) int { return 0 }

func (p *product) tileSIMD(_, _, _ []float32, _, _ int) int { return 0 }

func halfSIMD(ISA, []float32, []uint16, []float32, int, bool) bool { return false }
