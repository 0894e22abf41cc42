package train

import (
	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/train/net"
)

// Import takes over the numbers of a safetensors file, for fine-tuning; see net.Model.Take.
// The optimiser is not touched, so it is called before the first step.
func (t *Trainer) Import(path string, skip func(name string) bool) (net.Taken, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return net.Taken{}, err
	}
	defer f.Close()
	return t.model.Take(net.Source{Tensors: f.Tensors, Section: f.Section}, skip)
}
