// Package demo holds the small language model that is embedded in the binary, so that a
// fresh machine answers without a network. train.py made it; model/README.md says with
// which versions and how good it is.
//
// Importers are cmd and testnet.
package demo

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
)

// Name is what the model is called.
const Name = "demo"

//go:embed model/*.json model/*.safetensors
var files embed.FS

// Write writes the model into an existing folder, in the layout of Hugging Face.
func Write(dir string) error {
	model, err := fs.Sub(files, "model")
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, model); err != nil {
		return fmt.Errorf("write demo model: %w", err)
	}
	return nil
}
