//go:build !amd64 || noasm

package vec

// There is no vector code: the elements that are left to it are none.

func maxAbsSIMD(Level, []float32) uint32                                 { return 0 }
func sumAbsSIMD(Level, []float32, float32, *[lanes]float32)              {}
func dotSIMD(_ Level, _, _ []float32, _ *[lanes]float32)                 {}
func addToSIMD(_ Level, _, _ []float32)                                  {}
func subFromSIMD(_ Level, _, _ []float32)                                {}
func addScaledSIMD(Level, []float32, float32, []float32)                 {}
func f16SIMD(Level, []byte, []float32)                                   {}
func fromF16SIMD(Level, []float32, []byte)                               {}
func int8SIMD(_ Level, _ []byte, _ []float32, _, _ float32, _, _ uint32) {}
func fromInt8SIMD(Level, []float32, []byte, float32) int32               { return 0 }
func signsSIMD(Level, []byte, []float32, float32)                        {}
func fromSignsSIMD(Level, []float32, []byte, float32)                    {}
