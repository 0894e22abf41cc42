package catalog

import (
	"fmt"
	"strings"
)

// maxNamed is how many tensors a warning names.
const maxNamed = 5

// Findings is what the import of a model met that its owner should know. The model is
// stored all the same.
type Findings struct {
	Template  error       // why the chat template cannot be used
	NotFinite []NotFinite // in the order of the model
}

// NotFinite tells of a tensor with values that are NaN or infinite.
type NotFinite struct {
	Tensor string // its name in the file
	Values int64  // how many
}

// Warnings says the findings in words, and what to do.
func (f *Findings) Warnings() []string {
	var out []string
	if f.Template != nil {
		out = append(out, fmt.Sprintf("the chat template cannot be used: %v; chats with the model are refused, completions work: take a later template, in a folder as chat_template.jinja, and import the model again", f.Template))
	}
	if len(f.NotFinite) > 0 {
		var named []string
		for _, n := range f.NotFinite[:min(len(f.NotFinite), maxNamed)] {
			named = append(named, fmt.Sprintf("%d in %.100q", n.Values, n.Tensor))
		}
		if more := len(f.NotFinite) - len(named); more > 0 {
			named = append(named, fmt.Sprintf("and more in %d other tensors", more))
		}
		out = append(out, fmt.Sprintf("values that are NaN or infinite: %s; requests that need them fail: compare the files with their publisher's", strings.Join(named, ", ")))
	}
	return out
}
