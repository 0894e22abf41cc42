//go:build accept

package accept_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/runner"
)

// build builds the program.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "covey")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/covey-network/covey/cmd/covey").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// reference reads a (rows, cols) float32 tensor.
func reference(t *testing.T, path, name string) (values [][]float64) {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, info := range f.Tensors {
		if info.Name != name {
			continue
		}
		cols := info.Shape[1]
		all := make([]float32, info.Shape[0]*cols)
		if err := binary.Read(f.Section(i), binary.LittleEndian, all); err != nil {
			t.Fatal(err)
		}
		for r := 0; r < len(all); r += cols {
			row := make([]float64, cols)
			for c := range row {
				row[c] = float64(all[r+c])
			}
			values = append(values, row)
		}
	}
	return values
}

// TestAcceptMiniLMThroughASwarm embeds sentences through a peer that holds nothing, over
// three peers with two blocks each, and compares with sentence-transformers.
func TestAcceptMiniLMThroughASwarm(t *testing.T) {
	fixtures := os.Getenv("COVEY_FIXTURES")
	model := filepath.Join(fixtures, "..", "models", "all-MiniLM-L6-v2")
	var doc struct {
		Sentences []string `json:"sentences"`
	}
	data, err := os.ReadFile(filepath.Join(fixtures, "minilm", "sentences.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	want := reference(t, filepath.Join(fixtures, "minilm", "embeddings.safetensors"), "embeddings")
	m := &runner.Manifest{}
	for _, name := range []string{"one", "two", "three", "four"} {
		m.Nodes = append(m.Nodes, runner.Node{Name: name})
	}
	s, err := runner.Start(t.Context(), runner.Config{Binary: build(t), Dir: t.TempDir()}, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Node("one").API().Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: model, Name: "minilm"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	for name, blocks := range map[string]string{"one": "0-1", "two": "2-3", "three": "4-5"} {
		c := s.Node(name).API()
		err := s.Wait(t.Context(), name+" to hear of the model", func(ctx context.Context) (bool, error) {
			var m api.Model
			err := c.Get(ctx, "/covey/v1/models/minilm", nil, &m)
			return err == nil, err
		})
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "minilm", Blocks: blocks}, func(api.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s serves blocks %s: fetched %d bytes", name, blocks, e.Bytes)
	}
	four := s.Node("four").API()
	var res struct {
		Data []struct{ Embedding []float64 }
	}
	err = s.Wait(t.Context(), "an answer", func(ctx context.Context) (bool, error) {
		err := four.Post(ctx, "/v1/embeddings", map[string]any{"model": "minilm", "input": doc.Sentences}, &res)
		return err == nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	worst := 1.0
	for i, d := range res.Data {
		var dot, a, b float64
		for k, x := range d.Embedding {
			dot, a, b = dot+x*want[i][k], a+x*x, b+want[i][k]*want[i][k]
		}
		cosine := dot / math.Sqrt(a*b)
		worst = min(worst, cosine)
		if !(cosine >= 0.99999) {
			t.Errorf("sentence %d: cosine %.7f: %.60q", i, cosine, doc.Sentences[i])
		}
	}
	if len(res.Data) != len(want) {
		t.Errorf("%d embeddings, want %d", len(res.Data), len(want))
	}
	var held api.Model
	if err := four.Get(t.Context(), "/covey/v1/models/minilm", nil, &held); err != nil || held.BytesHere != 0 {
		t.Errorf("peer four holds %d bytes, %v", held.BytesHere, err)
	}
	fmt.Printf("%d sentences through 3 peers: lowest cosine %.8f\n", len(res.Data), worst)
}
