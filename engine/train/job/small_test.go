package job_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
)

// TestStockBertOnFewRows runs the example, with shorter texts, on a table for which its
// warm-up of 100 steps would take more steps than there are.
func TestStockBertOnFewRows(t *testing.T) {
	t.Parallel()
	text, err := job.Example("bert")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "reviews.csv", "review,sentiment\n"+strings.Repeat("it was good,good\nit was bad,bad\n", 20))
	j := read(t, dir, strings.Replace(string(text), "length = 256", "length = 16", 1))
	var notes []string
	var rates []float64
	res := run(t, j, job.Options{Events: job.Events{
		Start: func(s job.Start) { notes = s.Notes }, Step: func(p job.Progress) { rates = append(rates, p.LR) },
	}})
	if want := "train.schedule.warmup is 100 and the run has 10 steps: it is made 1"; res.Step != 10 || !slices.Contains(notes, want) {
		t.Errorf("%d steps, told %q, want %q", res.Step, notes, want)
	}
	if math.Abs(rates[0]-5e-4) > 1e-9 || !slices.IsSortedFunc(rates, func(a, b float64) int { return int(math.Copysign(1, b-a)) }) {
		t.Errorf("rates %v", rates)
	}
}

// TestZeros refuses a 0 that would stand for another number, and takes one that is meant.
func TestZeros(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cnn := fmt.Sprintf(imageJob, "cnn", strings.Replace(cnnSection, `{type = "maxpool"}`, `{type = "maxpool", stride = 0}`, 1), 1)
	for want, text := range map[string]string{
		"line 5: model.cnn.layers[1].stride: is 0":  cnn,
		"model.bert.eps: is 0":                      strings.Replace(bertJob, "ffn = 32", "ffn = 32\neps = 0.0", 1),
		"line 9: model.bert.types: is 0, want more": strings.Replace(bertJob, "ffn = 32", "ffn = 32\ntypes = 0", 1),
		"model.llama.kv_heads: is 0":                strings.Replace(fmt.Sprintf(textJob, true, false, "", 5), "kv_heads = 2", "kv_heads = 0", 1),
	} {
		if _, err := job.Read(write(t, dir, "job.toml", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	table(t, dir, 40)
	beta := strings.Replace(fmt.Sprintf(tableJob, "", "class", "sum"), "lr = 0.02", "lr = 0.02, %s", 1)
	curves := map[string]bool{}
	for _, more := range []string{"beta2 = 0.999", "beta1 = 0.9", "beta1 = 0", "beta2 = 0.0", "eps = 0.5"} {
		j := read(t, dir, fmt.Sprintf(beta, more))
		j.Train.Folder, j.Train.Epochs = more, 2
		curves[contents(t, run(t, j, job.Options{}).Folder)["history.csv"]] = true
	}
	if len(curves) != 4 { // the first two write down defaults
		t.Errorf("%d different runs, want 4", len(curves))
	}
}
