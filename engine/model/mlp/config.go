package mlp

import (
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/engine/train/data"
)

// Limits of a configuration. They bound the memory and the work of a model whose
// configuration comes from a file or a peer.
const (
	MaxWidth  = 1 << 16
	MaxLayers = 64
	// MaxRows is how many rows a step takes. What goes in and what comes out cross the
	// network in one tensor each, of 32 MiB at most (protocol.MaxTensor).
	MaxRows   = 256
	MaxInputs = 1 << 15
	MaxLabels = 1 << 15
	// maxTextBytes bounds names and categories.
	maxTextBytes = 1 << 10
)

// Column is a column of the table and how it becomes inputs of the first layer.
type Column struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`                 // number: (value - mean) / std; category: an input for each, 1 for the value's own
	Categories []string `json:"categories,omitempty"` // in the order of their inputs
	Mean       float64  `json:"mean,omitempty"`
	Std        float64  `json:"std,omitempty"` // 0: the number as it is
	// Notation is how the numbers of the column are written in files.
	data.Notation
}

// Config describes a model. It goes into the manifest as JSON. The layers' tensors are
// fc1.weight (out, in), fc1.bias, fc2.weight and so on.
type Config struct {
	Columns []Column `json:"columns"` // the inputs, in their order
	// FillMissing tells that a missing number counts as the mean, and a missing or unknown
	// category as none. Otherwise every column needs a value.
	FillMissing bool `json:"fill_missing,omitempty"`
	// MissingValues are words that stand for missing values in files, beside those that are built in.
	MissingValues []string `json:"missing_values,omitempty"`
	Hidden        []int    `json:"hidden,omitempty"` // widths of the layers before the last
	Activation    string   `json:"activation"`       // between layers, as kernel.ParseActivation reads it
	Target        string   `json:"target,omitempty"` // what is predicted: the name of its column
	// TargetMean and TargetStd are those of a number that is predicted: what comes out of the
	// last layer is (number - mean) / std. A std of 0 leaves it as it is.
	TargetMean float64  `json:"target_mean,omitempty"`
	TargetStd  float64  `json:"target_std,omitempty"`
	Labels     []string `json:"labels,omitempty"` // one for each score; none: the model predicts a number
	// Format is how the file was written that the model learned from; nil if that is not known.
	Format *data.Format `json:"format,omitempty"`
}

// Regression reports whether the model predicts a number instead of scores.
func (c *Config) Regression() bool { return len(c.Labels) == 0 }

// OutWidth returns the numbers that come out for a row: a score for each label, or one.
func (c *Config) OutWidth() int { return max(1, len(c.Labels)) }

// InputLen returns the inputs of a row. The configuration must be valid.
func (c *Config) InputLen() int {
	n := 0
	for _, col := range c.Columns {
		n += max(1, len(col.Categories))
	}
	return n
}

// Rows returns what turns the values of a row into inputs. It is safe for concurrent use.
func (c *Config) Rows() (*data.Rows, error) {
	columns := make([]data.Column, len(c.Columns))
	for i, col := range c.Columns {
		kind, err := data.ParseKind(col.Kind)
		if err != nil {
			return nil, err
		}
		columns[i] = data.Column{Name: col.Name, Kind: kind, Categories: col.Categories, Mean: col.Mean, Std: col.Std, Notation: col.Notation}
	}
	var format data.Format
	if c.Format != nil {
		format = *c.Format
	}
	return data.NewRows(columns, c.FillMissing, format, c.MissingValues...)
}

// Validate reports the first thing that is out of range.
func (c *Config) Validate() error {
	if err := c.check(); err != nil {
		return fmt.Errorf("check model of a table: %w", err)
	}
	return nil
}

func (c *Config) check() error {
	if len(c.Hidden) >= MaxLayers || len(c.Labels) > MaxLabels || len(c.Columns) > MaxInputs || len(c.Target) > maxTextBytes {
		return fmt.Errorf("%d hidden layers, %d labels, %d columns or a target of %d bytes: at most %d, %d, %d and %d",
			len(c.Hidden), len(c.Labels), len(c.Columns), len(c.Target), MaxLayers-1, MaxLabels, MaxInputs, maxTextBytes)
	}
	if !(math.Abs(c.TargetMean) <= math.MaxFloat32 && c.TargetStd >= 0 && c.TargetStd <= math.MaxFloat32) || !c.Regression() && c.TargetStd != 0 {
		return fmt.Errorf("mean %v and std %v of the target are out of range, or it is a class", c.TargetMean, c.TargetStd)
	}
	for _, text := range append([]string{c.Target}, c.Labels...) { // they are printed as they are
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("the target or a label, %.40q, has control characters, or is not UTF-8", text)
		}
	}
	for _, w := range c.Hidden {
		if w < 1 || w > MaxWidth {
			return fmt.Errorf("a layer is %d wide, want 1 to %d", w, MaxWidth)
		}
	}
	for _, col := range c.Columns {
		if col.Name == "" || len(col.Name) > maxTextBytes {
			return fmt.Errorf("the name of a column has %d bytes, want 1 to %d", len(col.Name), maxTextBytes)
		}
		for _, v := range col.Categories {
			if v == "" || len(v) > maxTextBytes {
				return fmt.Errorf("column %.40q: a category has %d bytes, want 1 to %d", col.Name, len(v), maxTextBytes)
			}
		}
	}
	if _, err := kernel.ParseActivation(c.Activation); err != nil {
		return err
	}
	if _, err := c.Rows(); err != nil {
		return err
	}
	if n := c.InputLen(); n > MaxInputs {
		return fmt.Errorf("a row has %d inputs, at most %d", n, MaxInputs)
	}
	return nil
}

// widths returns how wide the values between the layers are, those of the input and of the
// last layer included.
func (c *Config) widths() []int {
	out := append([]int{c.InputLen()}, c.Hidden...)
	return append(out, c.OutWidth())
}

// Specs lists the tensors of a part and their shapes. All are in block 0: the model is one
// piece. The configuration must be valid.
func (c *Config) Specs(part nn.Part) []nn.Spec {
	if part.Kind != nn.Block {
		return nil
	}
	var out []nn.Spec
	w := c.widths()
	for i := range w[1:] {
		out = append(out, nn.Spec{Name: layer(i) + ".weight", Shape: tensor.Shape{w[i+1], w[i]}}, nn.Spec{Name: layer(i) + ".bias", Shape: tensor.Shape{w[i+1]}})
	}
	return out
}

// layer returns the name of the tensors of a layer.
func layer(i int) string { return fmt.Sprintf("fc%d", i+1) }

// ScratchBytes returns the memory that a pass of MaxRows rows takes beside the weights. The
// configuration must be valid.
func (c *Config) ScratchBytes() int64 {
	var n int64
	for _, w := range c.widths() {
		n = max(n, int64(w))
	}
	return 4 * 2 * MaxRows * n
}
