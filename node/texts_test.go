package node_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
)

// TestTextsAreServedAsTrained trains a classifier of bytes and asks it about texts with the name of
// a special token, and with more bytes than it takes: what comes out is what the engine makes of
// the ids of training.
func TestTextsAreServedAsTrained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "table.csv"), "said,class\n"+strings.Repeat("good it was,high\nbad it was,low\n", 8))
	path := filepath.Join(dir, "job.toml")
	const length = 24
	writeFile(t, path, `version = 1
[model]
kind = "bert"
bert = {dim = 16, blocks = 1, heads = 2, ffn = 32}
[data.csv]
file = "table.csv"
label = "class"
length = 24
columns = [{name = "said", kind = "text"}]
[train]
steps = 2
batch = 4
threads = 1
optimizer = {kind = "adam", lr = 0.01}
`)
	c := start(t, t.TempDir(), nil)
	exported := finished(t, c, submit(t, c, trainer.Request{Path: path})).Model
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: exported, Name: "said"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	ck, err := model.Import(exported, model.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	pool := kernel.NewPool(1)
	defer pool.Close()
	s, err := model.Load(t.Context(), ck.Config, ck.Config.Whole(), ck.Weights(), pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"good it was", "x<|endoftext|>y", strings.Repeat("good it was ", 9) + "!"} {
		ids := []int32{256} // what the tokenizer puts before each text
		for _, b := range []byte(text) {
			ids = append(ids, int32(b))
		}
		want, err := s.Forward(t.Context(), []model.Input{{Tokens: ids[:min(len(ids), length)]}})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Outputs []struct {
				Name string
				Data []float32
			}
		}
		body := object{"inputs": []object{{"name": "text", "datatype": "BYTES", "shape": []int{1}, "data": []string{text}}}, "outputs": []object{{"name": "logits"}}}
		if err := c.Post(t.Context(), "/v2/models/said/infer", body, &got); err != nil || len(got.Outputs) != 1 || !slices.Equal(got.Outputs[0].Data, want[0].Pooled) {
			t.Errorf("%.30q: %+v, %v; want %v", text, got, err, want[0].Pooled)
		}
	}
}

// TestTokensThatTheModelLacks has a tokenizer with a token more than its model: a request that
// uses it is refused as such, by id and by text.
func TestTokensThatTheModelLacks(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), nil)
	lacking := func(name string, write func(dir string)) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), name)
		write(dir)
		path := filepath.Join(dir, "tokenizer.json")
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		more := `"added_tokens": [{"id": 30, "content": "zzz", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false}, `
		writeFile(t, path, strings.Replace(string(file), `"added_tokens": [`, more, 1))
		if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: dir}, func(api.Event) {}); err != nil {
			t.Fatal(err)
		}
	}
	lacking("bert", func(dir string) { writeEmbedder(t, dir) })
	lacking("bert-text", func(dir string) { unzip(t, "../engine/model/testdata/bert.zip", dir) })
	for _, r := range [][2]string{
		{"/v1/embeddings", `{"model": "bert", "input": [1, 30, 2]}`},
		{"/v1/embeddings", `{"model": "bert", "input": "the zzz film"}`},
		{"/v1/embeddings", `{"model": "bert", "input": ["the film", "the zzz film"]}`},
		{"/v2/models/bert-text/infer", `{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["the zzz film"]}]}`},
	} {
		if code, body := request(t, c, "POST", r[0], r[1], nil); code != 400 || !strings.Contains(body, "30") || !strings.Contains(body, "0 to 29") {
			t.Errorf("%s: %d %s", r[1], code, body)
		}
	}
	var got vectors
	if err := c.Post(t.Context(), "/v1/embeddings", object{"model": "bert", "input": "the film"}, &got); err != nil || len(got.Data) != 1 {
		t.Errorf("a text without it: %+v, %v", got, err)
	}
}
