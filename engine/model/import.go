package model

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/covey-network/covey/engine/format/folder"
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
	case !info.Mode().IsRegular(): // opening a pipe would wait for its other end
		return nil, fmt.Errorf("import %q: not a regular file", path)
	default:
		if err := notAlone(path); err != nil {
			return nil, fmt.Errorf("import %q: %w", path, err)
		}
	}
	c, err := open(path, opt)
	if err != nil {
		return nil, fmt.Errorf("import %q: %w", path, err)
	}
	return c, nil
}

// notAlone says what to import instead of a file that is no GGUF file: of one that is part of a
// model, that. It returns nil if the file was meant to be GGUF, whose reader says what is wrong.
func notAlone(path string) error {
	dir := filepath.Dir(path)
	repository, within := folder.Repository(path)
	switch place, file, _ := strings.Cut(within, "/"); {
	case repository != "" && place != "snapshots":
		is := "a file of a model"
		if name := folder.BlobName(repository, file); place == "blobs" && name != "" {
			is = fmt.Sprintf("the file %s of a model", name)
		}
		return fmt.Errorf("it is %s in a cache of Hugging Face: import the model, %q", is, repository)
	case Look(dir) == nil && (hf.Foreign(path) == "" || hf.HasWeights(dir)):
		return fmt.Errorf("it is a file of a model and not the model: import its folder, %q", dir)
	case strings.HasSuffix(path, ".safetensors"):
		return fmt.Errorf("want the directory that it is in, with a config.json: %s", configAdvice)
	case hf.Foreign(path) != "":
		return fmt.Errorf("it %s", hf.Foreign(path))
	case strings.HasSuffix(path, ".gguf"):
		return nil
	}
	if err := checkPointer(path); err != nil {
		return err
	}
	return errors.New("it is no GGUF file: " + modelAdvice)
}

// checkPointer returns an error if a file is the stand-in that git-lfs has of another.
func checkPointer(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return folder.CheckPointer(f)
}
