package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/api"
)

// TestImportNames names models of Hugging Face in the ways that people do, of which one is in the
// cache: it is found, or the advice has the name to use.
func TestImportNames(t *testing.T) {
	hub := t.TempDir() // not parallel: it sets the environment
	t.Setenv("HF_HUB_CACHE", hub)
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	snapshot := filepath.Join(hub, "models--sentence-transformers--all-MiniLM-L6-v2", "snapshots", "1234")
	for _, dir := range []string{snapshot, filepath.Join(filepath.Dir(filepath.Dir(snapshot)), "blobs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"config.json", "model.safetensors"} {
		if err := os.WriteFile(filepath.Join(snapshot, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const whole = "sentence-transformers/all-MiniLM-L6-v2"
	for _, name := range []string{whole, "https://huggingface.co/" + whole, "hf.co/" + whole, "huggingface.co/" + whole, whole + "@main"} {
		if path, _, err := toImport(name); err != nil || path != snapshot {
			t.Errorf("%s is %q, %v", name, path, err)
		}
	}
	for name, want := range map[string]string{
		"all-MiniLM-L6-v2":                       "there is " + whole + ": covey model import " + whole,
		"sentence-transformers/all-minilm-l6-v2": "there is " + whole,
		"ALL-minilm-l6-v2":                       "there is " + whole,
		whole + "@abc":                           "a revision is imported from its folder: hf download " + whole + " --revision abc",
		"hf.co/Qwen/Qwen2.5-0.5B":                "download it with hf download Qwen/Qwen2.5-0.5B",
		"bert-of-nobody":                         "is named with its owner, as OWNER/bert-of-nobody",
		"model.gguf":                             "no such file or directory",
	} {
		if _, _, err := toImport(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// TestAlone tells a founder that knows of nobody from a node whose peers are not there.
func TestAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		st   api.Status
		want bool
	}{
		"founder of nobody":  {api.Status{Membership: api.Membership{State: "founder"}}, true},
		"founder, one known": {api.Status{Membership: api.Membership{State: "founder"}, Paths: api.Paths{Unreachable: 1}}, false},
		"member":             {api.Status{Membership: api.Membership{State: "member"}}, false},
	} {
		if got := alone(&c.st); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
