package job_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
)

// schemaJobs have data of each kind.
var schemaJobs = []struct{ name, job string }{
	{"images", fmt.Sprintf(imageJob, "cnn", cnnSection, 2)},
	{"classes of a table", fmt.Sprintf(tableJob, "", "class", "sum")},
	{"numbers of a table", fmt.Sprintf(tableJob, "regression = true", "sum", "class")},
	{"numbers as they are", strings.Replace(fmt.Sprintf(tableJob, "regression = true", "sum", "class"), "[data.csv]", "[data.csv]\nraw = true", 1)},
	{"texts of a table", bertJob},
	{"text", fmt.Sprintf(textJob, true, false, "split = 0.1", 20)},
}

// inspect returns the schema of a job's data after it has been written and read.
func inspect(t testing.TB, j *job.Job) *job.Schema {
	t.Helper()
	s, err := job.Inspect(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = job.ParseSchema(text); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return s
}

// TestSchema gives a run the schema of its own data: it changes nothing.
func TestSchema(t *testing.T) {
	t.Parallel()
	for _, c := range schemaJobs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			own, given := work(t, c.job), work(t, c.job)
			h := &hook{}
			run(t, own, job.Options{Sync: h})
			run(t, given, job.Options{Schema: inspect(t, given)})
			a, b := contents(t, own.Folder()), contents(t, given.Folder())
			for name := range a {
				if name != "last.state" && name != "best.state" && a[name] != b[name] { // those know the order of columns in the file
					t.Errorf("%s differs:\n%.600s\n%.600s", name, a[name], b[name])
				}
			}
			want, _ := json.Marshal(inspect(t, own))
			if got, _ := json.Marshal(h.run.Schema); string(got) != string(want) {
				t.Errorf("the Sync sees %s, want %s", got, want)
			}
		})
	}
}

// ownTable is what somebody else has for tableJob: columns in another order and others beside
// them, decimal commas, rows of one class only, and no blue.
const ownTable = "class;note;colour;b;a;sum;said\n" +
	"high;x;red;\"50,5\";\"0,25\";1,5;good\nhigh;y;red;61,25;1,5;2,5;good it was\nhigh;z;red;40,125;0,75;3,5;it was good\n"

// TestSchemaOwnData trains on data that is fit for the model of others and written another
// way: what is exported is of the same shape and meaning.
func TestSchemaOwnData(t *testing.T) {
	t.Parallel()
	for _, c := range schemaJobs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			theirs := work(t, c.job)
			schema := inspect(t, theirs)
			res := run(t, theirs, job.Options{})
			dir := t.TempDir()
			pictures(t, filepath.Join(dir, "images"), 6)
			if err := os.RemoveAll(filepath.Join(dir, "images/none")); err != nil {
				t.Fatal(err)
			}
			write(t, dir, "table.csv", strings.Repeat(ownTable[strings.IndexByte(ownTable, '\n')+1:], 8))
			b, err := os.ReadFile(filepath.Join(dir, "table.csv"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "table.csv", ownTable[:strings.IndexByte(ownTable, '\n')+1]+string(b))
			write(t, dir, "texts/own.txt", strings.Repeat("another text. ", 40))
			mine := read(t, dir, strings.Replace(c.job, `{name = "id", kind = "ignore"}, `, "", 1))
			var start job.Start
			own := run(t, mine, job.Options{Schema: schema, Events: job.Events{Start: func(s job.Start) { start = s }}})
			a, err := os.ReadFile(filepath.Join(res.Model, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = os.ReadFile(filepath.Join(own.Model, "config.json")); err != nil || string(a) != string(b) {
				t.Errorf("the configurations differ, %v:\n%s\n%s", err, a, b)
			}
			if strings.Contains(c.name, "table") || strings.Contains(c.name, "numbers") {
				if start.Samples != 18 && start.Samples != 19 || start.Bad != 0 {
					t.Errorf("started as %+v", start)
				}
			}
		})
	}
}

// TestSchemaOtherHand trains on the rows of another table written in another way, with decimal
// commas, semicolons and columns from the last to the first: the run has the same bits.
func TestSchemaOtherHand(t *testing.T) {
	t.Parallel()
	for _, c := range schemaJobs[1:4] {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			theirs, mine := work(t, c.job), work(t, c.job)
			schema := inspect(t, theirs)
			b, err := os.ReadFile(filepath.Join(mine.Dir, "table.csv"))
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
				fields := strings.Split(line, ",")
				slices.Reverse(fields)
				if i > 0 {
					for k := range fields {
						fields[k] = strings.Replace(fields[k], ".", ",", 1)
					}
				}
				out.WriteString(strings.Join(fields, ";") + "\n")
			}
			write(t, mine.Dir, "table.csv", out.String())
			run(t, theirs, job.Options{})
			run(t, mine, job.Options{Schema: schema})
			x, y := contents(t, theirs.Folder()), contents(t, mine.Folder())
			for _, name := range []string{"history.csv", "model/model.safetensors", "model/config.json"} {
				if x[name] != y[name] {
					t.Errorf("%s differs:\n%.600s\n%.600s", name, x[name], y[name])
				}
			}
		})
	}
}

// TestSchemaRefuses gives runs data that does not fit the schema.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	classes := fmt.Sprintf(tableJob, "", "class", "sum")
	numbers := fmt.Sprintf(tableJob, "regression = true", "sum", "class")
	images := fmt.Sprintf(imageJob, "cnn", cnnSection, 2)
	text := fmt.Sprintf(textJob, true, false, "split = 0.1", 20)
	tokenizer := tokenizerFile(t)
	for name, c := range map[string]struct {
		theirs, mine string // jobs; mine is theirs if empty
		data         string // rows of my table, if not empty
		want         string
	}{
		"a class of images":        {images, "", "", `image folder: wrong/00.png: "wrong" is no class, of which there are "left" "none" "right": rename the folder or take it away`},
		"size of images":           {images, strings.Replace(images, "size = [8, 8]", "size = [8, 9]", 1), "", "line 9: data.images.size: makes images of 1 channels, height 8, width 9, and the shared model takes 1, 8, 8"},
		"colours of images":        {images, strings.Replace(images, "gray = true\nmean", "mean", 1), "", "data.images.size: makes images of 3 channels, height 8, width 8, and the shared model takes 1, 8, 8"},
		"images for a table":       {classes, images, "", "line 6: data.images: is not what the shared model learns from"},
		"a table for images":       {images, classes, "", "data.csv: is not what the shared model learns from"},
		"a text for a table":       {classes, text, "", "data.text: is not what the shared model learns from"},
		"a column that is missing": {classes, "", "a,color,class\n1,red,high\n2,red,low\n", `table.csv: no column "b"`},
		"a column of another name": {classes, "", "a,b,color,class\n1,2,red,high\n2,3,red,low\n", `table.csv: no column "colour": did you mean "color"?`},
		"a category":               {classes, "", "a,b,colour,class\n1,2,red,high\n2,3,green,low\n2,3,green,low\n", `table.csv: column "colour": "green" in line 3 is no category, of which there are "blue" "red": correct it, or take out 2 rows`},
		"a class":                  {classes, "", "a,b,colour,class\n1,2,red,higher\n2,3,red,low\n", `table.csv: column "class": "higher" in line 2 is no category (did you mean "high"?), of which there are "high" "low"`},
		"words for numbers":        {classes, "", "a,b,colour,class\nx,2,red,high\ny,3,red,low\n", `table.csv: column "a": it has numbers, and none of these 2 values is one, such as "x" in line 2`},
		"numbers in a unit":        {classes, "", "a,b,colour,class\n$1,2,red,high\n$2,3,red,low\n", `table.csv: column "a": 2 values are in $, such as "$1" in line 2, and the column has numbers without a unit`},
		"another label":            {numbers, classes, "", `line 9: data.csv.label: is "class", a category, and the shared model predicts "sum", a number`},
		"text for numbers":         {classes, bertJob, "", "data.csv.columns: has a column of text: true, the shared model: false"},
		"numbers for text":         {bertJob, classes, "", "data.csv.columns: has a column of text: false, the shared model: true"},
		"length of a text":         {text, strings.Replace(text, "length = 24", "length = 25", 1), "", "data.text.length: is 25, and 24 for the shared model: set that"},
		"length of texts":          {bertJob, strings.Replace(bertJob, "length = 12", "length = 13", 1), "", "data.csv.length: is 13, and 12 for the shared model"},
		"another kind of tokenizer": {
			text, strings.Replace(text, "length = 24", "length = 24\ntokenizer = \"tokenizer.json\"", 1), "",
			"data.text.tokenizer: is file, and bytes for the shared model: take the same",
		},
		"another tokenizer": {
			strings.Replace(text, "length = 24", "length = 24\ntokenizer = \"other.json\"", 1),
			strings.Replace(text, "length = 24", "length = 24\ntokenizer = \"tokenizer.json\"", 1), "",
			"tokenizer.json is another file (SHA-256 ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.mine == "" {
				c.mine = c.theirs
			}
			withTokenizers := func(text string) *job.Job {
				dir := t.TempDir()
				pictures(t, filepath.Join(dir, "images"), 6)
				table(t, dir, 60)
				texts(t, dir)
				for i, name := range []string{"tokenizer.json", "other.json"} {
					write(t, dir, name, tokenizer+strings.Repeat("\n", i))
				}
				return read(t, dir, text)
			}
			schema := inspect(t, withTokenizers(c.theirs))
			mine := withTokenizers(c.mine)
			if c.data != "" {
				write(t, mine.Dir, "table.csv", c.data)
			}
			if name == "a class of images" {
				if err := os.Rename(filepath.Join(mine.Dir, "images/right"), filepath.Join(mine.Dir, "images/wrong")); err != nil {
					t.Fatal(err)
				}
			}
			_, err := job.Run(t.Context(), mine, job.Options{Schema: schema})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant an error with %q", err, c.want)
			}
		})
	}
}

// tokenizerFile returns a tokenizer.json: that which a run on bytes exports.
func tokenizerFile(t testing.TB) string {
	t.Helper()
	j := work(t, fmt.Sprintf(textJob, true, false, "split = 0.1", 1))
	b, err := os.ReadFile(filepath.Join(run(t, j, job.Options{}).Model, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestParseSchemaRefuses reads what no data could have decided.
func TestParseSchemaRefuses(t *testing.T) {
	t.Parallel()
	image := `{"image":[1,8,8],"classes":["a","b"]}`
	rows := `{"columns":[{"name":"a","kind":"number","mean":1,"std":2},{"name":"b","kind":"category","categories":["x","y"]}],"target":{"name":"c","kind":"category","categories":["u","v"]},"format":{"separator":","}}`
	text := `{"tokenizer":{"kind":"bytes","vocab":257},"length":24}`
	file := `{"tokenizer":{"kind":"file","vocab":1000,"sha256":"` + strings.Repeat("ab", 32) + `","eos":"</s>"},"length":24}`
	texts := `{"columns":[{"name":"said","kind":"text"}],"target":{"name":"c","kind":"category","categories":["u","v"]},"format":{},"tokenizer":{"kind":"bytes","vocab":257},"length":12}`
	for _, good := range []string{image, rows, text, file, texts} {
		if _, err := job.ParseSchema([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, c := range []struct{ base, old, new, want string }{
		{image, image, "", "EOF"},
		{image, image, "{}", "want one of image, target and tokenizer"},
		{image, image, "null", "want one of"},
		{image, "}", "} {}", "there is more behind it"},
		{image, `"classes"`, `"klasses"`, "unknown field"},
		{image, "[1,8,8]", "[2,8,8]", "image is"},
		{image, "[1,8,8]", "[1,8,80000]", "image is"},
		{image, "[1,8,8]", "[1,8]", "image is"},
		{image, `["a","b"]`, `["a"]`, "1 classes, want 2 to"},
		{image, `"b"`, `"a"`, `class "a": is there twice`},
		{image, `"b"`, `"../b"`, "is not the name of a folder"},
		{image, `"b"`, `"b/c"`, "is not the name of a folder"},
		{image, `"b"`, `"b\\c"`, "is not the name of a folder"},
		{image, `"b"`, `".b"`, "is not the name of a folder"},
		{image, `"b"`, `""`, "the name is empty"},
		{image, `"b"`, `"b\u0007"`, "control characters"},
		{image, `"b"`, `"` + strings.Repeat("b", 2000) + `"`, "2000 bytes, at most 1024"},
		{image, `"image"`, `"length":3,"image"`, "are not of images"},
		{image, `"image"`, `"tokenizer":{"kind":"bytes","vocab":257},"image"`, "want one of"},
		{rows, `"name":"b"`, `"name":"a"`, `column "a" twice`},
		{rows, `"name":"b"`, `"name":"c"`, "that of the target"},
		{rows, `["x","y"]`, `["x","x"]`, "a category twice"},
		{rows, `["x","y"]`, `[]`, "0 categories"},
		{rows, `"std":2`, `"std":-2`, "out of range"},
		{rows, `"std":2`, `"std":1e300`, "out of range"},
		{rows, `"std":2`, `"std":1e999`, "cannot unmarshal"},
		{rows, `"kind":"number"`, `"kind":"auto"`, "want number, category or text"},
		{rows, `"kind":"number"`, `"kind":"text"`, "a column of text is the only input"},
		{rows, `["u","v"]`, `["u"]`, "less than two classes"},
		{rows, `["u","v"]`, `["u","v\n"]`, "control characters"},
		{rows, `"name":"c"`, `"name":"c\u0000"`, "control characters"},
		{rows, `"kind":"category","categories":["u","v"]`, `"kind":"text"`, "want number or category"},
		{rows, `"format"`, `"length":5,"format"`, "are of a column of text"},
		{rows, `,"format":{"separator":","}`, ``, "a table has a format"},
		{rows, `{"separator":","}`, `{"separator":"ab"}`, "want one character"},
		{rows, `{"separator":","}`, `{"encoding":"ebcdic"}`, "is not known"},
		{rows, `"kind":"number"`, `"kind":"number","decimal":"x"`, "cannot be written"},
		{text, `257`, `258`, "want bytes of 257, or file"},
		{text, `"bytes"`, `"words"`, "want bytes of 257, or file"},
		{text, `"length":24`, `"length":0`, "a length of 1 to"},
		{text, `"length":24`, `"length":24,"classes":["a","b"]`, "are not of text"},
		{file, `abab`, `ab`, "want bytes of 257, or file"},
		{file, `abab`, `ABab`, "want bytes of 257, or file"},
		{file, `abab`, `zzab`, "want bytes of 257, or file"},
		{file, `1000`, `-1`, "want bytes of 257, or file"},
		{texts, `"kind":"text"`, `"kind":"text","mean":1`, "a column of text is the only input"},
		{texts, `,"length":12`, ``, "a length of 1 to"},
	} {
		changed := strings.Replace(c.base, c.old, c.new, 1)
		if _, err := job.ParseSchema([]byte(changed)); changed == c.base || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.300s: got %v, want %q", changed, err, c.want)
		}
	}
	if _, err := job.ParseSchema(make([]byte, job.MaxSchemaBytes+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a large one: %v", err)
	}
}

// FuzzSchema reads a schema from anybody: what is taken can be written and read again, and
// opens no data but with an error or a model that there can be.
func FuzzSchema(f *testing.F) {
	dir := f.TempDir()
	pictures(f, filepath.Join(dir, "images"), 2)
	table(f, dir, 20)
	texts(f, dir)
	var jobs []*job.Job
	for i, c := range schemaJobs {
		j, err := job.Read(write(f, dir, fmt.Sprintf("%d.toml", i), c.job))
		if err != nil {
			f.Fatal(err)
		}
		s, err := job.Inspect(f.Context(), j)
		if err != nil {
			f.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		jobs = append(jobs, j)
	}
	f.Add([]byte(`{"columns":[{"name":"a","kind":"number"}],"target":{"name":"sum","kind":"number"},"format":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := job.ParseSchema(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > job.MaxSchemaBytes { // characters that are escaped take more
			return
		}
		if _, err := job.ParseSchema(again); err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		for _, j := range jobs {
			if err := job.OpenFitting(t.Context(), j, s); err != nil && err.Error() == "" {
				t.Error("an error without words")
			}
		}
	})
}
