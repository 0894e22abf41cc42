package train

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/train/net"
)

// The files of an exported model.
const (
	WeightsFile = "model.safetensors"
	ConfigFile  = "config.json"
)

// Export writes the model to a folder as model.safetensors and config.json, in the layout
// that transformers and torchvision read and that covey imports and serves. A language
// model also needs the files of its tokenizer, which are not the trainer's.
func (t *Trainer) Export(dir string) error {
	doc, err := t.model.Describe()
	if err != nil {
		return fmt.Errorf("export model: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export model: %w", err)
	}
	err = writeFile(filepath.Join(dir, WeightsFile), func(w io.Writer) error {
		return safetensors.Write(w, map[string]string{"format": "pt"}, t.model.Tensors())
	})
	if err != nil {
		return fmt.Errorf("export model: %w", err)
	}
	err = writeFile(filepath.Join(dir, ConfigFile), func(w io.Writer) error {
		_, err := w.Write(append(doc, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("export model: %w", err)
	}
	return nil
}

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
