package nn

import (
	"fmt"
	"math"
)

// MaxContext bounds the positions of a model, and all angles, position times frequency: up
// to 2^20 sine and cosine are exact.
const MaxContext = 1 << 20

// Scaling names how rotary frequencies are changed for contexts longer than trained on.
type Scaling string

// The scalings that are known.
const (
	ScaleNone   Scaling = ""       // as trained
	ScaleLinear Scaling = "linear" // all frequencies divided by Factor
	ScaleLlama3 Scaling = "llama3" // low frequencies divided by Factor, with a smooth border
)

// Rope says how the rotary embedding of a model turns. Zero fields other than Theta mean
// that the feature is not used.
type Rope struct {
	Theta   float64 `json:"theta"`
	Scaling Scaling `json:"scaling,omitempty"`
	Factor  float64 `json:"factor,omitempty"`

	// LowFreqFactor, HighFreqFactor and OriginalContext place the border of llama3 scaling.
	LowFreqFactor   float64 `json:"low_freq_factor,omitempty"`
	HighFreqFactor  float64 `json:"high_freq_factor,omitempty"`
	OriginalContext int     `json:"original_context,omitempty"`

	// Divisors, one per pair, divide the frequencies; GGUF files carry the result of
	// llama3 scaling in this form.
	Divisors []float32 `json:"divisors,omitempty"`
}

// Validate checks the ranges of all fields for heads of the given width, and that no angle
// at a position below context, which is at most MaxContext, reaches MaxContext.
func (r Rope) Validate(headDim, context int) error {
	if err := r.check(headDim); err != nil {
		return err
	}
	for i, f := range r.Frequencies(headDim) {
		if !(f*float64(context-1) < MaxContext) {
			return fmt.Errorf("check rope: pair %d turns by %v for each of %d positions, want angles below %d", i, f, context, MaxContext)
		}
	}
	return nil
}

func (r Rope) check(headDim int) error {
	in := func(v, lo, hi float64) bool { return v >= lo && v <= hi } // false for NaN
	switch {
	case headDim < 2 || headDim%2 != 0:
		return fmt.Errorf("check rope: head width %d is not even", headDim)
	case !in(r.Theta, 1, 1e12):
		return fmt.Errorf("check rope: theta %v is not in [1, 1e12]", r.Theta)
	case len(r.Divisors) != 0 && len(r.Divisors) != headDim/2:
		return fmt.Errorf("check rope: %d divisors for %d pairs", len(r.Divisors), headDim/2)
	}
	for i, d := range r.Divisors {
		if !in(float64(d), 0.5, 1e6) {
			return fmt.Errorf("check rope: divisor %d is %v", i, d)
		}
	}
	switch r.Scaling {
	case ScaleNone:
		return nil
	case ScaleLinear, ScaleLlama3:
		if !in(r.Factor, 1, 1e6) {
			return fmt.Errorf("check rope: %s scaling with factor %v", r.Scaling, r.Factor)
		}
	default:
		return fmt.Errorf("check rope: scaling %.40q is not one of linear, llama3", string(r.Scaling))
	}
	if r.Scaling == ScaleLlama3 {
		if !in(r.LowFreqFactor, 1e-3, 1e6) || !in(r.HighFreqFactor, 1e-3, 1e6) || r.HighFreqFactor <= r.LowFreqFactor || r.OriginalContext < 1 || r.OriginalContext > MaxContext {
			return fmt.Errorf("check rope: llama3 scaling with frequency factors %v, %v and context %d", r.LowFreqFactor, r.HighFreqFactor, r.OriginalContext)
		}
	}
	return nil
}

// Frequencies holds the angle per position of each pair of a head.
type Frequencies []float64

// Frequencies returns the angles per position for heads of the given width, which
// Validate has accepted.
func (r Rope) Frequencies(headDim int) Frequencies {
	f := make(Frequencies, headDim/2)
	for i := range f {
		f[i] = r.scale(powOf(r.Theta, -float64(2*i)/float64(headDim)))
		if len(r.Divisors) != 0 {
			f[i] /= float64(r.Divisors[i])
		}
	}
	return f
}

// scale applies the scaling to one frequency. The llama3 rule is that of Meta's reference
// code (apply_scaling): by wavelength, with a linear border between the two factors.
func (r Rope) scale(freq float64) float64 {
	switch r.Scaling {
	case ScaleLinear:
		return freq / r.Factor
	case ScaleLlama3:
		context := float64(r.OriginalContext)
		wavelen := 2 * math.Pi / freq
		switch {
		case wavelen < context/r.HighFreqFactor:
			return freq
		case wavelen > context/r.LowFreqFactor:
			return freq / r.Factor
		}
		smooth := (context/wavelen - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
		return float64((1-smooth)*(freq/r.Factor)) + float64(smooth*freq)
	}
	return freq
}

// SinCos writes cosine and sine of every pair's angle at a position below the context that
// Validate has accepted.
func (f Frequencies) SinCos(cos, sin []float32, pos int) {
	for i, freq := range f {
		s, c := sinCosOf(float64(float64(pos) * freq))
		cos[i], sin[i] = float32(c), float32(s)
	}
}
