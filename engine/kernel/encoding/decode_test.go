package encoding

import (
	"encoding/hex"
	"testing"
)

// TestDecode has encodings as the Go assembler and binutils write them.
func TestDecode(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name, code string
		avx2       bool // belongs into code for AVX2
		avx512     bool
	}{
		{"VFMADD231PS Y8, Y15, Y0", "c4c205b8c0", true, true},
		{"VFMADD231PS Y8, Y16, Y0", "62d27d20b8c0", false, true},
		{"VBROADCASTSS (R9), Y16", "62c27d281801", false, true},
		{"VMOVUPS 64(R8), Y9", "c4417c104840", true, true},
		{"VMOVUPS 0x1000(R8)(CX*4), Y9", "c4417c108c8800100000", true, true},
		{"VZEROUPPER", "c5f877", true, true},
		{"VPSLLD $23, Y1, Y1", "c5f572f117", true, true},
		{"VCVTPS2PH $0, Y0, X1", "c4e37d1dc100", true, true},
		{"VPDPBUSD Y2, Y1, Y0 of AVX-VNNI", "c4e27550c2", false, false},
		{"VPDPBUSD Z2, Z1, Z0", "62f2754850c2", false, true},
		{"VPERMB Z2, Z1, Z0", "62f275488dc2", false, false},
		{"VPERMW Z2, Z1, Z0", "62f2f5488dc2", false, true},
		{"VPTERNLOGD $1, Y2, Y1, Y0", "62f3752825c201", false, true},
		{"KMOVW AX, K1", "c5f892c8", false, true},
		{"BZHIQ CX, AX, AX", "c4e2f0f5c0", false, true},
		{"MULXQ CX, AX, DX", "c4e2fbf6d1", false, true},
		{"ANDNQ CX, AX, DX", "c4e2f8f2d1", false, false},
		{"MOVQ $1<<40, AX", "48b80000000000010000", true, true},
		{"ADDQ $256, R8", "4981c000010000", true, true},
		{"TESTB $1, AL", "f6c001", true, true},
		{"NOPW 512(AX)(AX*1)", "66660f1f840000020000", true, true},
		{"POPCNTQ AX, AX", "f3480fb8c0", false, false},
		{"TZCNTQ AX, AX", "f3480fbcc0", false, false},
		{"MOVSS 8(SP), X0, of the old form", "f30f10442408", true, true},
		{"ADDSS X1, X0, of the old form", "f30f58c1", false, false},
	} {
		code, err := hex.DecodeString(k.code)
		if err != nil {
			t.Fatal(err)
		}
		i, err := decode(code)
		if err == nil && i.len != len(code) {
			t.Errorf("%s: has %d bytes, want %d", k.name, i.len, len(code))
		}
		if got := err == nil && beyondAVX2(i) == ""; got != k.avx2 {
			t.Errorf("%s: taken for AVX2: %t, want %t (%v, %v)", k.name, got, k.avx2, i, err)
		}
		if got := err == nil && beyondAVX512(i) == ""; got != k.avx512 {
			t.Errorf("%s: taken for our AVX-512: %t, want %t (%v, %v)", k.name, got, k.avx512, i, err)
		}
		if _, err := decode(code[:len(code)-1]); err == nil {
			t.Errorf("%s: decoded without its last byte", k.name)
		}
	}
}
