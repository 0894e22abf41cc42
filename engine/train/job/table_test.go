package job_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/train/job"
)

const housesJob = `version = 1
[model]
kind = "mlp"
[model.mlp]
regression = true
[data.csv]
file = "houses.csv"
label = "price"
%s
[train]
epochs = 60
batch = 20
threads = 1
best = "metric"
optimizer = {kind = "adam", lr = 0.02}
schedule = {kind = "cosine"}
`

// houses are facts that scikit-learn and pandas tell of testdata/houses.csv.
type houses struct {
	Mean  float64
	Std   float64
	RMSE  float64 `json:"least_squares_rmse"`
	First []float64
}

func readHouses(t *testing.T, dir string) (facts houses, table string) {
	t.Helper()
	b, err := os.ReadFile("testdata/houses.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &facts); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile("testdata/houses.csv"); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "houses.csv", string(b))
	return facts, string(b)
}

// predict returns what an export predicts for rows of the houses.
func predict(t *testing.T, path string, rows [][]string) []float32 {
	t.Helper()
	pool := kernel.NewPool(1)
	defer pool.Close()
	checkpoint, stage := served(t, path, pool)
	in, err := checkpoint.Config.MLP.Rows()
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, len(rows)*in.Width())
	for i, row := range rows {
		if err := in.Inputs(x[i*in.Width():(i+1)*in.Width()], row, nil, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	out, err := stage.Forward(t.Context(), []model.Input{{Numbers: x}})
	if err != nil {
		t.Fatal(err)
	}
	return out[0].Pooled
}

// TestRegression trains a linear model on prices of houses. It comes as near as least squares
// does, the metric is in the units of the price, and so is what the export predicts.
func TestRegression(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	facts, table := readHouses(t, dir)
	var start job.Start
	res := run(t, read(t, dir, fmt.Sprintf(housesJob, `validation = "houses.csv"`)), job.Options{Events: job.Events{Start: func(s job.Start) { start = s }}})
	if !(res.Best.Metric > 0.99*facts.RMSE && res.Best.Metric < 1.02*facts.RMSE) {
		t.Errorf("rmse %v, scikit-learn's least squares has %v", res.Best.Metric, facts.RMSE)
	}
	if got := math.Sqrt(res.Best.Loss) * facts.Std; math.Abs(got/res.Best.Metric-1) > 1e-6 {
		t.Errorf("the loss says an rmse of %v, the metric is %v", got, res.Best.Metric)
	}
	label := start.Columns[len(start.Columns)-1]
	if math.Abs(label.Mean-facts.Mean) > 1e-6 || math.Abs(label.Std-facts.Std) > 1e-6 {
		t.Errorf("the price has mean %v and deviation %v, pandas says %v and %v", label.Mean, label.Std, facts.Mean, facts.Std)
	}
	var rows [][]string
	for _, line := range strings.Split(table, "\n")[1:6] {
		rows = append(rows, strings.Split(line, ",")[:4])
	}
	standardised := predict(t, res.Model, rows)
	for i, v := range standardised {
		if math.Abs(float64(v)-facts.First[i]) > 0.02*facts.Std {
			t.Errorf("row %d: predicts %v, scikit-learn %v", i+1, v, facts.First[i])
		}
	}
	// A model that was made before means and deviations of targets were kept gives what
	// comes out of it.
	config := filepath.Join(res.Model, "config.json")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"target_mean", "target_std", "format"} {
		if all[key] == nil {
			t.Errorf("config.json lacks %s", key)
		}
		delete(all, key)
	}
	if b, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	write(t, res.Model, "config.json", string(b))
	for i, v := range predict(t, res.Model, rows) {
		if want := (float64(standardised[i]) - facts.Mean) / facts.Std; math.Abs(float64(v)-want) > 1e-5 {
			t.Errorf("row %d of an older model: %v, want %v", i+1, v, want)
		}
	}
}

// TestRegressionStops ends a run by its metric, which is in the units of the target.
func TestRegressionStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	facts, _ := readHouses(t, dir)
	j := read(t, dir, fmt.Sprintf(housesJob, "split = 0.2"))
	j.Train.Epochs, j.Train.Patience, j.Train.Optimizer.LR = 400, 3, 0.1
	res := run(t, j, job.Options{})
	if res.End != job.EndEarly || res.Best.Metric > 2*facts.RMSE {
		t.Errorf("ended with %s at rmse %v, least squares has %v", res.End, res.Best.Metric, facts.RMSE)
	}
}

const smallJob = `version = 1
[model]
kind = "mlp"
[model.mlp]
%s
[data.csv]
file = "small.csv"
label = "y"
%s
[train]
steps = 2
batch = 4
threads = 1
optimizer = {kind = "adam", lr = 0.01}
`

// TestRefusedTables gives tables from which what is asked for cannot be learned.
func TestRefusedTables(t *testing.T) {
	t.Parallel()
	table := func(row func(i int) string) string {
		out := "x,y\n"
		for i := range 200 {
			out += row(i) + "\n"
		}
		return out
	}
	var whole strings.Builder
	for i := range 12000 {
		fmt.Fprintf(&whole, "1,%d\n", i%2000)
	}
	measured := table(func(i int) string { return fmt.Sprintf("%d,%d.5", i, 1000+i) })
	for _, c := range []struct{ name, file, mlp, csv, want string }{
		{"one class", table(func(i int) string { return fmt.Sprintf("%d,yes", i) }), "", "split = 0.2", `column "y" is "yes" in all of its 200 rows`},
		{"one number", table(func(i int) string { return fmt.Sprintf("%d,7", i) }), "regression = true", "", `column "y" is 7 in all of its 200 rows`},
		{"measured", measured, "", "", `200 different ones in 200 rows, the first is "1000.5" in line 2: set regression = true in model.mlp`},
		{"many whole numbers", table(func(i int) string { return fmt.Sprintf("1,%d", i/2) }), "", "", "100 different ones in 200 rows"},
		{"more whole numbers than are counted", "x,y\n" + whole.String(), "", "", `more than 1000 different ones in 12000 rows, the first is "0" in line 2: set regression = true in model.mlp`},
		{"words as numbers", table(func(i int) string { return fmt.Sprintf("%d,w%d", i, i%2) }), "regression = true", "", `column "y": "w0" is not a number (regression = true in model.mlp predicts a number`},
		{"words said to be numbers", "x,h,y\n1,Gas,a\n2,Holz,b\n", "", "missing = \"fill\"\ncolumns = [{name = \"h\", kind = \"number\"}]", `column "h": kind = "number" is set in columns, and none of its 2 values is a number, such as "Gas" in line 2: take that away, or set kind = "category"`},
		{"a class without rows, missing filled", "x,h,y\n1,1,a\n2,2,b\n3,Gas,c\n1,3,a\n2,4,b\n", "", "missing = \"fill\"\ncolumns = [{name = \"h\", kind = \"number\"}]", `no row of the class "c" can be used: rows are left out, the first is small.csv:4: column "h": "Gas" is not a number`},
		{"a class without rows", "x,y\n1,a\n2,b\n,c\n3,a\n4,b\n", "", "", `no row of the class "c" can be used: missing = "fill" in [data.csv] keeps rows`},
		{"a class of two lines", table(func(i int) string { return fmt.Sprintf("%d,\"a\n%d\"", i, i%2) }), "", "", `column "y": the class "a\n0" has line ends`},
		{"thousands", measured, "", "decimal = \",\"\nthousands = \",\"", `line 10: data.csv.thousands: is ","`},
		{"thousands between fields", measured, "", "separator = \",\"\ndecimal = \".\"\nthousands = \",\"", `line 11: data.csv.thousands: is ",", and so is separator: it would divide such a number; leave thousands out`},
		{"titles", "Sales\n\n" + measured, "", "", "table small.csv: line 3 looks like the header, with the names of the columns, and not line 1: set skip_rows = 2"},
		{"skipped too little", measured, "", "skip_rows = -1", "line 9: data.csv.skip_rows: is -1, want 0 to"},
		{"skipped too much", measured, "", "skip_rows = 1000", "skip_rows = 1000 passes over all of them"},
		{"encoding", measured, "", `encoding = "latin-9"`, `line 9: data.csv.encoding: is "latin-9", want utf-8`},
		{"bytes", measured, "", `encoding = "bytes"`, "is for [data.text]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "small.csv", c.file)
			j, err := job.Read(write(t, dir, "job.toml", fmt.Sprintf(smallJob, c.mlp, c.csv)))
			if err == nil {
				_, err = job.Run(t.Context(), j, job.Options{})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %s", err, c.want)
			}
		})
	}
	dir := t.TempDir()
	write(t, dir, "small.csv", measured)
	j := read(t, dir, fmt.Sprintf(smallJob, "", `columns = [{name = "y", kind = "category"}]`))
	if _, err := job.Run(t.Context(), j, job.Options{}); err != nil {
		t.Errorf("said to be classes: %v", err)
	}
	write(t, dir, "small.csv", "Sales\n\n"+measured)
	j = read(t, dir, fmt.Sprintf(smallJob, "regression = true", "skip_rows = 2\nvalidation = \"small.csv\""))
	j.Train.Folder = "titles"
	var start job.Start
	run(t, j, job.Options{Events: job.Events{Start: func(s job.Start) { start = s }}})
	if start.Samples != 200 || start.Validation != 200 {
		t.Errorf("below titles: %d and %d rows", start.Samples, start.Validation)
	}
}

// TestRareClasses splits a table of which two classes have few rows: each is learned, as one of
// its rows at least is for training, and the run says which have one in all.
func TestRareClasses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "small.csv", "x,y\n"+strings.Repeat("u,often\n", 40)+"v,once\nw,twice\nw,twice\n")
	for seed := range 6 {
		j := read(t, dir, fmt.Sprintf(smallJob, "", "split = 0.5"))
		j.Train.Seed, j.Train.Folder, j.Train.Steps, j.Train.Optimizer.LR = uint64(seed), fmt.Sprint("run", seed), 150, 0.2
		var start job.Start
		var last job.Validation
		res := run(t, j, job.Options{Events: job.Events{
			Start:      func(s job.Start) { start = s },
			Validation: func(v job.Validation) { last = v },
		}})
		if start.Samples != 21 || start.Validation != 22 {
			t.Fatalf("%d and %d rows", start.Samples, start.Validation)
		}
		if notes := strings.Join(start.Notes, "\n"); !strings.Contains(notes, `1 of 3 classes have one row: "once"`) {
			t.Fatalf("notes %s", notes)
		}
		if !last.Best {
			t.Fatalf("the last validation is not the best: %+v", last)
		}
		scores := predict(t, res.Model, [][]string{{"v"}, {"w"}}) // of often, once, twice
		if best := []int{argmax(scores[:3]), argmax(scores[3:])}; !slices.Equal(best, []int{1, 2}) {
			t.Errorf("seed %d: scores %v, want once and twice", seed, scores)
		}
	}
}

func argmax(v []float32) int { return slices.Index(v, slices.Max(v)) }

// TestRareImages splits folders of few images: one of each class is for training.
func TestRareImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 1) // one more, that is none, in the folder left
	j := read(t, dir, strings.Replace(fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 6), "split = 0.25", "split = 0.5", 1))
	var start job.Start
	run(t, j, job.Options{Events: job.Events{Start: func(s job.Start) { start = s }}})
	if start.Samples != 3 || start.Validation != 1 {
		t.Errorf("%d images for training and %d for validation, want 3 and 1", start.Samples, start.Validation)
	}
}

// TestTextEncodings trains on the same text in three encodings: to the same bits, and the run
// says what it found.
func TestTextEncodings(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.\n", 12)
	var folders [3]string
	for i, e := range []encoding.Encoding{encoding.Nop, charmap.Windows1252, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)} {
		encoded, err := e.NewEncoder().String(text)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for k := range 3 {
			write(t, dir, fmt.Sprintf("texts/%d.txt", k), encoded)
		}
		j := read(t, dir, fmt.Sprintf(textJob, true, false, "split = 0.1", 8))
		var start job.Start
		run(t, j, job.Options{Events: job.Events{Start: func(s job.Start) { start = s }}})
		want := [][]string{nil, {"3 files of text are windows-1252"}, {"3 files of text are utf-16le"}}[i]
		if folders[i] = j.Folder(); !slices.Equal(start.Notes, want) {
			t.Errorf("notes %q, want %q", start.Notes, want)
		}
	}
	sameFiles(t, folders[1], folders[0])
	sameFiles(t, folders[2], folders[0])
}

// TestSumBelow has a sum below a table: the run is the one without it, and says so before it begins.
func TestSumBelow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	facts, table := readHouses(t, dir)
	write(t, dir, "plain.csv", table)
	write(t, dir, "houses.csv", table+",,,Sum,1.5e9\n")
	var start job.Start
	res := run(t, read(t, dir, fmt.Sprintf(housesJob, "validation = \"plain.csv\"\nmissing = \"fill\"")), job.Options{Events: job.Events{Start: func(s job.Start) { start = s }}})
	if !(res.Best.Metric < 1.02*facts.RMSE) {
		t.Errorf("rmse %v, scikit-learn's least squares has %v", res.Best.Metric, facts.RMSE)
	}
	if notes := strings.Join(start.Warnings, "\n"); start.Bad != 1 || !strings.Contains(notes, `all inputs are missing but "Sum", which no other row has: is it a sum? The row is left out`) {
		t.Errorf("%d rows left out, notes %s", start.Bad, notes)
	}
}
