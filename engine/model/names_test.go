package model_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
)

// renameTensors rewrites the header of a safetensors file.
func renameTensors(t *testing.T, path string, rename func(name string) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := binary.LittleEndian.Uint64(data)
	var header, renamed map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	renamed = map[string]json.RawMessage{}
	for name, entry := range header {
		renamed[rename(name)] = entry
	}
	text, err := json.Marshal(renamed)
	if err != nil {
		t.Fatal(err)
	}
	out := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if err := os.WriteFile(path, append(out, data[8+size:]...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLicenseOfDirectory has a model card.
func TestLicenseOfDirectory(t *testing.T) {
	t.Parallel()
	path := unpack(t, "bert")
	if err := os.WriteFile(filepath.Join(path, "README.md"), []byte("---\nlicense: mit\n---\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := importModel(t, path, 0).License; got != "mit" {
		t.Errorf("got %q, want mit", got)
	}
}

// TestBertOfPreTraining imports what the first BERT checkpoints are: models with heads for
// training, whose norms have the names gamma and beta.
func TestBertOfPreTraining(t *testing.T) {
	t.Parallel()
	for _, class := range []string{"BertForMaskedLM", "BertForPreTraining"} {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			path := unpack(t, "bert")
			var ref bertReference
			readReference(t, path, &ref)
			editJSON(t, filepath.Join(path, "config.json"), map[string]any{"architectures": []string{class}, "id2label": nil})
			renameTensors(t, filepath.Join(path, "model.safetensors"), func(name string) string {
				name = strings.Replace(name, "LayerNorm.weight", "LayerNorm.gamma", 1)
				name = strings.Replace(name, "LayerNorm.bias", "LayerNorm.beta", 1)
				return strings.Replace(name, "classifier.", "cls.seq_relationship.", 1)
			})
			c := importModel(t, path, 0)
			if c.Config.Task() != model.TaskEmbed {
				t.Errorf("got task %s", c.Config.Task())
			}
			checkMean(t, c, ref)
		})
	}
}
