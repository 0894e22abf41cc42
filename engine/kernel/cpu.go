package kernel

import (
	"fmt"
	"os"
	"runtime"

	"github.com/klauspost/cpuid/v2"
)

// ISA is an instruction set the kernels are written for.
type ISA int

// The instruction sets, slowest first. Results are the same on all of them.
const (
	Generic ISA = iota // pure Go
	AVX2               // AVX2, FMA3, F16C
	AVX512             // AVX-512 F, BW, VL, DQ and VNNI; BMI2
)

// EnvCPU names the environment variable that overrides the instruction set chosen at
// start, for tests and for support: generic, avx2 or avx512.
const EnvCPU = "COVEY_CPU"

// String returns the name that [EnvCPU] takes.
func (i ISA) String() string {
	switch i {
	case Generic:
		return "generic"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	}
	return fmt.Sprintf("ISA(%d)", int(i))
}

// ParseISA is the inverse of [ISA.String].
func ParseISA(name string) (ISA, error) {
	for _, i := range []ISA{Generic, AVX2, AVX512} {
		if name == i.String() {
			return i, nil
		}
	}
	return Generic, fmt.Errorf("instruction set %q is not one of generic, avx2, avx512", name)
}

// Supported lists the instruction sets this machine can run, slowest first.
func Supported() []ISA {
	sets := []ISA{Generic}
	if runtime.GOARCH != "amd64" {
		return sets
	}
	c := cpuid.CPU
	if !c.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		return sets
	}
	sets = append(sets, AVX2)
	if c.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.AVX512DQ, cpuid.AVX512VNNI, cpuid.BMI2) {
		sets = append(sets, AVX512)
	}
	return sets
}

// current is the instruction set of this process; it never changes after start.
var current, errCurrent = choose(os.Getenv(EnvCPU), Supported())

// Current returns the instruction set that the exported functions use: the best one
// the machine has, or the one that [EnvCPU] asks for.
func Current() ISA { return current }

// CheckCPU reports why [EnvCPU] could not be obeyed, or nil. Programs call it at start;
// the kernels then run on the best instruction set instead.
func CheckCPU() error { return errCurrent }

func choose(name string, supported []ISA) (ISA, error) {
	best := supported[len(supported)-1]
	if name == "" {
		return best, nil
	}
	want, err := ParseISA(name)
	if err != nil {
		return best, fmt.Errorf("read %s: %w", EnvCPU, err)
	}
	for _, i := range supported {
		if i == want {
			return want, nil
		}
	}
	return best, fmt.Errorf("read %s: this machine has no %s, best is %s", EnvCPU, want, best)
}
