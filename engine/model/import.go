package model

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/covey-network/covey/engine/format/gguf"
	"github.com/covey-network/covey/engine/format/hf"
	"github.com/covey-network/covey/engine/tensor"
)

// ImportOptions says how a checkpoint is taken in. The zero value keeps it as it is.
type ImportOptions struct {
	// Quantize, if not nil, is Q8_0 or Q4_0: the type that float matrices of the blocks,
	// the token embedding and the output are converted to while they are read, where
	// their width allows.
	Quantize *tensor.DType
}

// Import opens a Hugging Face directory or a snapshot in its cache, a directory with the weights of a ResNet of
// torchvision or timm and a config.json, or a GGUF file. It reads configuration and
// tokenizer and checks the list of tensors; the tensors themselves are read through the
// checkpoint, which the caller closes.
func Import(path string, opt ImportOptions) (*Checkpoint, error) {
	if err := checkQuantize(opt.Quantize); err != nil {
		return nil, fmt.Errorf("import %q: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("import model: %w", err)
	}
	open := importGGUF
	switch {
	case info.IsDir():
		open = importHF
	case info.Mode().IsRegular() && gguf.Is(path): // whatever it is called
	case strings.HasSuffix(path, ".safetensors") && Look(filepath.Dir(path)) == nil:
		return nil, fmt.Errorf("import %q: these are weights of a model without the rest of it: import its folder, %q", path, filepath.Dir(path))
	case strings.HasSuffix(path, ".safetensors"):
		return nil, fmt.Errorf("import %q: want the directory that it is in, with a config.json: %s", path, configAdvice)
	case !info.Mode().IsRegular(): // opening a pipe would wait for its other end
		return nil, fmt.Errorf("import %q: not a regular file", path)
	case hf.Foreign(path) != "":
		return nil, fmt.Errorf("import model: %q %s", path, hf.Foreign(path))
	}
	c, err := open(path, opt)
	if err != nil {
		return nil, fmt.Errorf("import %q: %w", path, err)
	}
	return c, nil
}
