package vec

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/klauspost/cpuid/v2"
)

// Level is an instruction set that the functions are written for.
type Level int

// The instruction sets, slowest first. Results are the same on all of them.
const (
	Generic Level = iota // pure Go
	AVX2                 // AVX2, FMA3, F16C
	AVX512               // AVX-512 F, BW, VL, DQ and VNNI; BMI2
)

// EnvCPU names the environment variable that lowers the level chosen at start, for tests and
// for support: generic, avx2 or avx512. It is the one that the kernels of the engine obey.
const EnvCPU = "COVEY_CPU"

var levelNames = []string{"generic", "avx2", "avx512"}

// String returns the name that [EnvCPU] takes.
func (l Level) String() string {
	if l >= 0 && int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("Level(%d)", int(l))
}

// Supported lists the levels that this machine can run, slowest first.
func Supported() []Level {
	levels := []Level{Generic}
	if runtime.GOARCH != "amd64" || !assembled {
		return levels
	}
	if !cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		return levels
	}
	levels = append(levels, AVX2)
	if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.AVX512DQ, cpuid.AVX512VNNI, cpuid.BMI2) {
		levels = append(levels, AVX512)
	}
	return levels
}

// level is the one that the functions of this process use; it never changes after start.
var level, errLevel = choose(os.Getenv(EnvCPU), Supported())

// Current returns the level that the functions use: the best one of the machine, or the one
// that [EnvCPU] asks for.
func Current() Level { return level }

// CheckCPU reports why [EnvCPU] could not be obeyed, or nil; the best level is used then.
func CheckCPU() error { return errLevel }

func choose(name string, supported []Level) (Level, error) {
	best := supported[len(supported)-1]
	if name == "" {
		return best, nil
	}
	want := Level(slices.Index(levelNames, name))
	if want < Generic {
		return best, fmt.Errorf("read %s: %q is not one of generic, avx2, avx512", EnvCPU, name)
	}
	if !slices.Contains(supported, want) {
		return best, fmt.Errorf("read %s: this machine has no %s, best is %s", EnvCPU, want, best)
	}
	return want, nil
}
