package job_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/covey-network/covey/engine/train/job"
)

// A perceptron learns from a table which numbers are large, and is exported.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "job-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	rows := "value,size\n" + strings.Repeat("1,small\n2,small\n8,large\n9,large\n", 20)
	if err := os.WriteFile(filepath.Join(dir, "table.csv"), []byte(rows), 0o644); err != nil {
		log.Fatal(err)
	}
	j, err := job.Parse([]byte(`version = 1
model = {kind = "mlp", mlp = {hidden = [8]}}
data = {csv = {file = "table.csv", label = "size", split = 0.25}}
[train]
epochs = 20
batch = 10
optimizer = {kind = "adam", lr = 0.05}
`))
	if err != nil {
		log.Fatal(err)
	}
	j.Dir = dir
	res, err := job.Run(context.Background(), j, job.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s after %d steps, %s %.2f\n", res.End, res.Step, res.MetricName, res.Best.Metric)
	_, err = os.Stat(filepath.Join(res.Model, "model.safetensors"))
	fmt.Println(err)
	// Output:
	// done after 120 steps, accuracy 1.00
	// <nil>
}

// All mistakes of a file are told at once.
func ExampleParse() {
	_, err := job.Parse([]byte(`version = 1
[model]
kind = "mlp"
mlp = {hidden = "many"}
[train]
bach = 10
`))
	fmt.Println(err)
	// Output:
	// line 4: model.mlp.hidden: is the text "many", want a list in brackets, each a whole number
	// line 6: train.bach: unknown key, want one of epochs, steps, batch, accumulate, threads, seed, optimizer, schedule, clip, smoothing, validate_every, best, patience, folder, checkpoint_every
}
