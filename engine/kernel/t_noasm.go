//go:build !amd64 || noasm

package kernel

// Functions ending in SIMD say whether vector code did the work: here there is none.

func activateSIMD(ISA, Activation, []float32, []float32) bool                { return false }
func activateBackSIMD(ISA, Activation, []float32, []float32, []float32) bool { return false }
func addToSIMD(ISA, []float32, []float32, []float32, bool) bool              { return false }
func sumRowsSIMD(ISA, []float32, []float32, int, int) bool                   { return false }
func swigluSIMD(ISA, []float32, []float32, []float32) bool                   { return false }
func swigluBackSIMD(_ ISA, _, _, _, _, _ []float32) bool                     { return false }
func rmsRowsSIMD(_ ISA, _, _, _, _ []float32, _ float32) bool                { return false }
func rmsRowsBackSIMD(_ ISA, _, _, _, _, _, _ []float32) bool                 { return false }
func layerRowsSIMD(_ ISA, _, _, _, _, _, _ []float32, _ float32) bool        { return false }
func layerRowsBackSIMD(_ ISA, _, _, _, _, _, _, _, _ []float32) bool         { return false }
func rowMaxSIMD(ISA, []float32) (float32, bool)                              { return 0, false }
func rowSumSIMD(ISA, []float32) (float32, bool)                              { return 0, false }
func rowDotSIMD(ISA, []float32, []float32) (float32, bool)                   { return 0, false }
func rowExpSumSIMD(ISA, []float32, float32) (float32, bool)                  { return 0, false }
func rowExpScaleSIMD(_ ISA, _, _ []float32, _, _, _ float32) bool            { return false }
func scaleDifferenceSIMD(ISA, []float32, []float32, []float32, float32) bool { return false }
func dropRowSIMD(_ ISA, _, _ []float32, _, _, _ uint32, _ float32) bool      { return false }
func sgdSIMD(_ ISA, _, _, _ []float32, _ *SGD, _ float32) bool               { return false }

func adamSIMD(_ ISA, _, _, _, _ []float32, _ *[adamFactors]float32, _ bool) bool { return false }

func softmaxColumnsSIMD(_ ISA, _ []float32, _, _, _ int, _ []float32) bool { return false }

func gradColumnsSIMD(_ ISA, _, _ []float32, _, _, _ int, _ []float32, _ float32) bool { return false }

// sumSquaresSIMD returns how many elements were done, transposeSIMD how many rows and
// columns.

func sumSquaresSIMD(ISA, *[lanes]float64, []float32, []float32) int { return 0 }

func transposeSIMD(_ ISA, _ []float32, _ int, _ []float32, _, _, _ int, _ float32) (rows, cols int) {
	return 0, 0
}

func (p *tileProduct) simd(int, int) bool { return false }
