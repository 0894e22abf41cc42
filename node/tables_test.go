package node_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/trainer"
)

// TestTablesAreScaledAlike has three nodes learn from tables whose numbers are far apart: the model,
// the same for all in every bit, knows mean and deviation of all rows, also at a member that has too
// few rows to tell of them.
func TestTablesAreScaledAlike(t *testing.T) {
	t.Parallel()
	list := crew(t, 3)
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	sum, squares, n := 0.0, 0.0, 0.0
	for i, rows := range []int{30, 50, 5} {
		text := "x,y\n"
		for k := range rows {
			y := float64(1000*i + k*k%17)
			text += fmt.Sprintf("%d,%g\n", k, y)
			if i < 2 {
				sum, squares, n = sum+y, squares+y*y, n+1
			}
		}
		writeFile(t, filepath.Join(dirs[i], "prices.csv"), text)
	}
	path := filepath.Join(dirs[0], "prices.toml")
	writeFile(t, path, `version = 1
[model]
kind = "mlp"
mlp = {hidden = [4], regression = true}
[data.csv]
file = "prices.csv"
label = "y"
[train]
batch = 4
threads = 1
optimizer = {kind = "adam", lr = 0.003}
[swarm]
rounds = 3
inner_steps = 4
`)
	ids := []string{submit(t, list[0], trainer.Request{Path: path, Swarm: true, MinPeers: len(list)})}
	for i, c := range list[1:] {
		heard(t, c, "prices")
		ids = append(ids, submit(t, c, trainer.Request{
			Join: "prices", Local: job.Local{Data: filepath.Join(dirs[i+1], "prices.csv")}, Folder: filepath.Join(dirs[i+1], "run"), Threads: 1,
		}))
	}
	var first []byte
	for i, c := range list {
		r := finished(t, c, ids[i])
		b, err := os.ReadFile(filepath.Join(r.Model, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		var config struct {
			Mean float64 `json:"target_mean"`
			Std  float64 `json:"target_std"`
		}
		if err := json.Unmarshal(b, &config); err != nil {
			t.Fatal(err)
		}
		mean := sum / n
		if std := math.Sqrt(squares/n - mean*mean); math.Abs(config.Mean-mean) > 1e-6 || math.Abs(config.Std-std) > 1e-3 {
			t.Errorf("member %d: mean %v and deviation %v, want %v and %v", i, config.Mean, config.Std, mean, std)
		}
		if first == nil {
			first = append(weights(t, r), b...)
		}
		if !bytes.Equal(append(weights(t, r), b...), first) {
			t.Errorf("member %d has another model", i)
		}
	}
}
