//go:build unix

package model_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
)

// TestImportSnapshot imports a snapshot of a Hugging Face cache, whose files are links to
// blobs, and one whose weights lead elsewhere.
func TestImportSnapshot(t *testing.T) {
	t.Parallel()
	files := unpack(t, "qwen2")
	repository := filepath.Join(t.TempDir(), "models--meta--Tiny-Llama")
	snapshot := filepath.Join(repository, "snapshots", "0123abcd")
	list, err := os.ReadDir(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{snapshot, filepath.Join(repository, "blobs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range list {
		if err := os.Rename(filepath.Join(files, e.Name()), filepath.Join(repository, "blobs", "hash-of-"+e.Name())); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../../blobs/hash-of-"+e.Name(), filepath.Join(snapshot, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{snapshot, repository} {
		c := importModel(t, path, 0)
		if c.Name != "Tiny-Llama" {
			t.Errorf("name %q", c.Name)
		}
		for _, s := range c.Tensors {
			if err := s.Read(make([]byte, s.Bytes)); err != nil {
				t.Error(err)
			}
		}
	}
	weights := filepath.Join(snapshot, "model.safetensors")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.Rename(filepath.Join(repository, "blobs", "hash-of-model.safetensors"), secret); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{"../../blobs/hash-of-model.safetensors": "the download is not complete", secret: "cp -rL"} {
		if err := os.Remove(weights); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, weights); err != nil {
			t.Fatal(err)
		}
		if _, err := model.Import(snapshot, model.ImportOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("weights that link to %s: %v, want %q", to, err, want)
		}
	}
}
