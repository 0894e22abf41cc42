package model_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/model/mlp"
	"github.com/covey-network/covey/engine/tensor"
)

// tableModel is a model of table.json, which testdata/make/table.py writes with PyTorch.
type tableModel struct {
	Config  object
	Tensors map[string]struct {
		Shape []int
		Data  []float32
	}
	Rows    [][]string
	Outputs [][]float32
}

func readTables(t testing.TB) map[string]*tableModel {
	t.Helper()
	data, err := os.ReadFile("testdata/table.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]*tableModel
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// write makes a directory of the model, as training exports it.
func (m *tableModel) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	config, err := json.Marshal(m.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	var list []safetensors.Tensor
	for name, x := range m.Tensors {
		list = append(list, safetensors.Tensor{Name: name, Shape: tensor.Shape(x.Shape), Data: x.Data})
	}
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := safetensors.Write(f, nil, list); err != nil {
		t.Fatal(err)
	}
	return dir
}

// inputs returns what the model takes for the rows.
func (m *tableModel) inputs(t testing.TB, c *mlp.Config) []float32 {
	t.Helper()
	rows, err := c.Rows()
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, len(m.Rows)*rows.Width())
	for i, row := range m.Rows {
		if err := rows.Inputs(x[i*rows.Width():(i+1)*rows.Width()], row, nil, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// TestTablesMatchPyTorch compares what comes out for rows of text with PyTorch's answers.
func TestTablesMatchPyTorch(t *testing.T) {
	t.Parallel()
	for name, m := range readTables(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := importModel(t, m.write(t), 0)
			task := model.TaskClassifyTable
			if c.Config.MLP.Regression() {
				task = model.TaskRegressTable
			}
			if labels, _ := m.Config["labels"].([]any); c.Config.Task() != task || len(c.Config.Labels()) != len(labels) || c.Config.Blocks() != 1 {
				t.Errorf("task %s, labels %v", c.Config.Task(), c.Config.Labels())
			}
			again, err := json.Marshal(c.Config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := model.ParseConfig(again); err != nil {
				t.Errorf("the configuration does not come back: %v", err)
			}
			x := m.inputs(t, c.Config.MLP)
			all := scores(t, load(t, c, c.Config.Whole(), pool(t, 2)), x)
			if largest, _ := distance(all, slices.Concat(m.Outputs...)); !(largest <= 1e-5) {
				t.Errorf("largest difference %.2g, want at most 1e-5", largest)
			}
			one := load(t, c, c.Config.Whole(), pool(t, 1))
			width := len(x) / len(m.Rows)
			for i := range m.Rows {
				got := scores(t, one, x[i*width:(i+1)*width])
				sameBits(t, "a row alone", got, all[i*len(got):(i+1)*len(got)])
			}
		})
	}
}

// TestDigestOfTables prints what TestSameBitsOnAllInstructionSets compares.
func TestDigestOfTables(t *testing.T) {
	t.Parallel()
	models := readTables(t)
	var all []float32
	for _, name := range slices.Sorted(maps.Keys(models)) {
		m := models[name]
		c := importModel(t, m.write(t), 0)
		x := m.inputs(t, c.Config.MLP)
		want := scores(t, load(t, c, c.Config.Whole(), pool(t, 1)), x)
		sameBits(t, name+" on 3 threads", scores(t, load(t, c, c.Config.Whole(), pool(t, 3)), x), want)
		all = append(all, want...)
	}
	logDigest(t, "tables", all)
}

func TestTableInputs(t *testing.T) {
	t.Parallel()
	c := importModel(t, readTables(t)["classes"].write(t), 0)
	s := load(t, c, c.Config.Whole(), pool(t, 1))
	for name, in := range map[string]model.Input{
		"nothing":       {},
		"half a row":    {Numbers: make([]float32, 3)},
		"too many rows": {Numbers: make([]float32, 7*(mlp.MaxRows+1))},
		"tokens":        {Tokens: []int32{1}, Numbers: make([]float32, 7)},
	} {
		if _, err := s.Forward(t.Context(), []model.Input{in}); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// TestBadTables imports directories that do not fit together.
func TestBadTables(t *testing.T) {
	t.Parallel()
	column := func(c object) []object { return []object{c} }
	for _, c := range []struct {
		name, want string
		change     func(o object)
	}{
		{"no columns", "neither preprocessing", func(o object) { delete(o, "columns") }},
		{"few inputs", "the columns make 1 inputs", func(o object) { o["columns"] = column(object{"name": "a", "kind": "number"}) }},
		{"kind", "image", func(o object) { o["columns"] = column(object{"name": "a", "kind": "image"}) }},
		{"text", "kind is text", func(o object) { o["columns"] = column(object{"name": "a", "kind": "text"}) }},
		{"no name", "name of a column", func(o object) { o["columns"] = column(object{"kind": "number"}) }},
		{"long name", "name of a column", func(o object) { o["columns"] = column(object{"name": strings.Repeat("a", 2000), "kind": "number"}) }},
		{"no categories", "0 categories", func(o object) { o["columns"] = column(object{"name": "a", "kind": "category"}) }},
		{"category twice", "a category twice", func(o object) {
			o["columns"] = column(object{"name": "a", "kind": "category", "categories": []string{"x", "x"}})
		}},
		{"empty category", "a category has 0 bytes", func(o object) {
			o["columns"] = column(object{"name": "a", "kind": "category", "categories": []string{""}})
		}},
		{"column twice", `"a" twice`, func(o object) {
			o["columns"] = []object{{"name": "a", "kind": "number"}, {"name": "a", "kind": "number"}}
		}},
		{"deviation", "std", func(o object) { o["columns"] = column(object{"name": "a", "kind": "number", "std": -1}) }},
		{"huge mean", "mean", func(o object) { o["columns"] = column(object{"name": "a", "kind": "number", "mean": 1e300}) }},
		{"labels", "2 label_names for 3 classes", func(o object) { o["labels"] = []string{"a", "b"} }},
		{"escape in a label", `a label, "b\x1b[2J", has control`, func(o object) { o["labels"] = []string{"a", "b\x1b[2J", "c"} }},
		{"line end in a target", `the target or a label, "a\nb", has control`, func(o object) { o["target"] = "a\nb" }},
		{"numbers", "predicts 3 numbers", func(o object) { o["model"] = object{"mlp": object{"regression": true}} }},
		{"activation", "activation", func(o object) { o["model"] = object{"mlp": object{"activation": "softmax"}} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := readTables(t)["classes"]
			c.change(m.Config)
			_, err := model.Import(m.write(t), model.ImportOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
