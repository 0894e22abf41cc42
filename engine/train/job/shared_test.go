package job_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/job"
)

// shared returns the text of a job for others.
func shared(t testing.TB, j *job.Job) string {
	t.Helper()
	b, err := j.Shared()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestShared gives each example to somebody else: what is local is gone, and all else stays.
func TestShared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "data"), 1)
	table(t, dir, 10)
	texts(t, dir)
	for _, name := range job.Examples() {
		b, err := job.Example(name)
		if err != nil {
			t.Fatal(err)
		}
		mine, err := job.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		mine.Train.Threads, mine.Train.Folder = 3, "here"
		mine.Train.Optimizer.Beta1 = nil
		if mine.Train.Optimizer.Kind != train.SGD {
			mine.Train.Optimizer.Beta1 = new(0.0)
		}
		text := shared(t, mine)
		data := filepath.Join(dir, "data")
		if mine.Data.CSV != nil {
			data = filepath.Join(dir, "table.csv")
		}
		local := job.Local{Data: data}
		if d := mine.Data; d.Images != nil && d.Images.Validation != "" || d.CSV != nil && d.CSV.Validation != "" {
			local.Validation = data
		}
		theirs, err := job.Join([]byte(text), local)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		if again := shared(t, theirs); again != text {
			t.Errorf("%s: shared again:\n%s\nwas:\n%s", name, again, text)
		}
		was, is := train.Keys(mine), train.Keys(theirs)
		for key := range was {
			switch key {
			case "data.images.folder", "data.images.validation", "data.text.folder", "data.csv.file", "data.csv.validation", "train.threads", "train.folder":
				if strings.Contains(text, was[key]) && strings.HasPrefix(was[key], `"`) && len(was[key]) > 3 {
					t.Errorf("%s: %s = %s is in the shared text", name, key, was[key])
				}
			case "data.csv.tokenizer", "data.text.tokenizer":
			default:
				if was[key] != is[key] {
					t.Errorf("%s: %s was %s and is %s", name, key, was[key], is[key])
				}
			}
		}
	}
}

// TestSharedAll sets every key that there is: all that are not local come over.
func TestSharedAll(t *testing.T) {
	t.Parallel()
	for _, section := range []string{"images", "text", "csv"} {
		j := &job.Job{}
		fillIn(reflect.ValueOf(j).Elem())
		sections := reflect.ValueOf(&j.Data).Elem()
		for i := range sections.NumField() {
			if name := sections.Type().Field(i).Tag.Get("toml"); name != section {
				sections.Field(i).SetZero()
			}
		}
		text := shared(t, j)
		was := train.Keys(j)
		got, err := job.Parse([]byte(text)) // of which values need not be right
		if err != nil && strings.Contains(err.Error(), "unknown key") || got == nil {
			t.Fatalf("%v\n%s", err, text)
		}
		is := train.Keys(got)
		local := []string{
			"data.images.folder", "data.images.validation", "data.text.folder", "data.text.validation", "data.text.encoding", "data.text.tokenizer",
			"data.csv.file", "data.csv.validation", "data.csv.encoding", "data.csv.separator", "data.csv.decimal", "data.csv.thousands", "data.csv.skip_rows", "data.csv.tokenizer",
			"train.threads", "train.folder",
		}
		for key, v := range was {
			if slices.Contains(local, key) == (is[key] == v) {
				t.Errorf("%s was %s and is %s", key, v, is[key])
			}
		}
	}
}

// fillIn sets all fields to something.
func fillIn(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillIn(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Tag.Get("toml") != "" {
				fillIn(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillIn(v.Index(i))
		}
	case reflect.String:
		v.SetString("*a \"\\\n\x7fé\U0001f600")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(1<<63 - 1)
	case reflect.Float64:
		v.SetFloat(1.25e-9)
	}
}

// TestJoin trains with a shared job and own data of each kind.
func TestJoin(t *testing.T) {
	t.Parallel()
	tokenizer := tokenizerFile(t)
	text := fmt.Sprintf(textJob, true, false, "split = 0.1", 20)
	for _, c := range []struct {
		name, job        string
		data, validation string
		tokenizer        string
		files            []string // of text
	}{
		{name: "images", job: fmt.Sprintf(imageJob, "cnn", cnnSection, 1), data: "images"},
		{name: "images held out", job: fmt.Sprintf(imageJob, "cnn", cnnSection, 1), data: "images", validation: "images"},
		{name: "table", job: fmt.Sprintf(tableJob, "", "class", "sum"), data: "table.csv"},
		{name: "folder with a table", job: fmt.Sprintf(tableJob, "", "class", "sum"), data: "only", validation: "table.csv"},
		{name: "texts of a table", job: bertJob, data: "table.csv"},
		{name: "folder of text", job: text, data: "texts", files: []string{"*.txt"}},
		{name: "folder of text held out", job: text, data: "texts", validation: "5.txt", files: []string{"*.txt"}},
		{name: "names of others", job: strings.Replace(text, `"*.txt"`, `"0.txt"`, 1), data: "texts", files: []string{"**/*.txt"}},
		{name: "file of text", job: text, data: "texts/1[.txt", files: []string{`1\[.txt`}},
		{name: "tokenizer", job: strings.Replace(text, "length = 24", "length = 24\ntokenizer = \"tok.json\"", 1), data: "texts", tokenizer: "tok.json", files: []string{"*.txt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pictures(t, filepath.Join(dir, "images"), 6)
			table(t, dir, 60)
			table(t, filepath.Join(dir, "only"), 60)
			texts(t, dir)
			write(t, dir, "texts/1[.txt", strings.Repeat("a text. ", 50))
			write(t, dir, "tok.json", tokenizer)
			at := func(p string) string {
				if p == "" || c.validation == p && strings.HasSuffix(p, ".txt") {
					return p
				}
				return filepath.Join(dir, p)
			}
			j, err := job.Join([]byte(shared(t, read(t, dir, c.job))), job.Local{Data: at(c.data), Validation: at(c.validation), Tokenizer: at(c.tokenizer)})
			if err != nil {
				t.Fatal(err)
			}
			j.Name, j.Dir = "joined", dir
			if c.files != nil && !slices.Equal(j.Data.Text.Files, c.files) {
				t.Errorf("files %q, want %q", j.Data.Text.Files, c.files)
			}
			var start job.Start
			res := run(t, j, job.Options{Events: job.Events{Start: func(s job.Start) { start = s }}})
			if res.Model == "" || res.Folder != filepath.Join(dir, "joined.run") || start.Validation == 0 {
				t.Errorf("%+v, started as %+v", res, start)
			}
		})
	}
}

// TestJoinRefuses joins with texts and data that are not right.
func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 2)
	table(t, dir, 10)
	texts(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	image := shared(t, read(t, dir, fmt.Sprintf(imageJob, "cnn", cnnSection, 1)))
	rows := shared(t, read(t, dir, fmt.Sprintf(tableJob, "", "class", "sum")))
	text := shared(t, read(t, dir, fmt.Sprintf(textJob, true, false, "split = 0.1", 20)))
	own := shared(t, read(t, dir, strings.Replace(fmt.Sprintf(textJob, true, false, "split = 0.1", 20), "length = 24", "length = 24\ntokenizer = \"/home/me/tok.json\"", 1)))
	if strings.Contains(own, "home") {
		t.Errorf("a path is shared: %s", own)
	}
	for _, c := range []struct {
		name, text, old, new string
		local                job.Local
		want                 string
	}{
		{"no data", image, "", "", job.Local{}, "own data: none is given"},
		{"no such data", image, "", "", job.Local{Data: "nowhere"}, "own data: stat "},
		{"a file for images", image, "", "", job.Local{Data: "table.csv"}, "is a file, and the job learns from images"},
		{"a folder without a table", rows, "", "", job.Local{Data: "empty"}, "has 0 tables (.csv, .tsv): want one"},
		{"no tokenizer", own, "", "", job.Local{Data: "texts"}, "give the path of its tokenizer.json"},
		{"a tokenizer too many", text, "", "", job.Local{Data: "texts", Tokenizer: "tok.json"}, "leave it out"},
		{"a folder", image, "[data.images]", "[data.images]\nfolder = \"/etc\"", job.Local{Data: "images"}, "data.images.folder: is set: a shared job does not say that"},
		{"a folder in braces", "version = 1\ndata = {images = {validation = \"/etc\"}}", "", "", job.Local{Data: "images"}, "line 2: data.images.validation: is set"},
		{"a file", rows, "[data.csv]", "[data.csv]\nfile = \"/etc/passwd\"", job.Local{Data: "table.csv"}, "data.csv.file: is set"},
		{"a path of a tokenizer", own, `"tokenizer.json"`, `"/etc/passwd"`, job.Local{Data: "texts", Tokenizer: "tok.json"}, `tokenizer = "/etc/passwd", and a shared job has no paths`},
		{"patterns above the folder", text, `"*.txt"`, `"../*"`, job.Local{Data: "texts"}, "want a path below folder"},
		{"a folder of the run", image, "[train]", "[train]\nfolder = \"/tmp/x\"", job.Local{Data: "images"}, "train.folder: is set"},
		{"threads", image, "[train]", "[train]\nthreads = 1000", job.Local{Data: "images"}, "train.threads: is set"},
		{"an unknown key", image, "[train]", "[train]\nrun = \"rm\"", job.Local{Data: "images"}, "train.run: unknown key"},
		{"a mistake", image, "batch = 8", "batch = -8", job.Local{Data: "images"}, "train.batch: is -8"},
		{"a large one", strings.Repeat("#", job.MaxSharedBytes+1), "", "", job.Local{Data: "images"}, "at most"},
	} {
		for _, p := range []*string{&c.local.Data, &c.local.Tokenizer} {
			if *p != "" {
				*p = filepath.Join(dir, *p)
			}
		}
		if _, err := job.Join([]byte(strings.Replace(c.text, c.old, c.new, 1)), c.local); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// TestJoinWithoutValidation joins a job that counts on validation without data for it.
func TestJoinWithoutValidation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 4)
	j := read(t, dir, strings.Replace(fmt.Sprintf(imageJob, "cnn", cnnSection, 1), "split = 0.25", "validation = \"held\"", 1))
	got, err := job.Join([]byte(shared(t, j)), job.Local{Data: filepath.Join(dir, "images")})
	if err != nil {
		t.Fatal(err)
	}
	if got.Train.Best != "" || got.Data.Images.Validation != "" {
		t.Errorf("got %+v", got)
	}
}

// FuzzJoin joins texts of anybody: what is taken reads own data alone.
func FuzzJoin(f *testing.F) {
	dir := f.TempDir()
	pictures(f, filepath.Join(dir, "data"), 1)
	table(f, filepath.Join(dir, "data"), 10)
	local := job.Local{Data: filepath.Join(dir, "data")}
	for i, c := range schemaJobs {
		j, err := job.Read(write(f, dir, fmt.Sprintf("%d.toml", i), c.job))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(shared(f, j)))
	}
	f.Add([]byte(swarmJob))
	f.Fuzz(func(t *testing.T, text []byte) {
		j, err := job.Join(text, local)
		if err != nil {
			return
		}
		var paths []string
		switch d := &j.Data; {
		case d.Images != nil:
			paths = []string{d.Images.Folder, d.Images.Validation}
		case d.Text != nil:
			paths = append([]string{d.Text.Folder}, d.Text.Validation...)
		default:
			paths = []string{d.CSV.File, d.CSV.Validation}
		}
		for _, p := range append(paths, j.Train.Folder) {
			if p != "" && !strings.HasPrefix(p, local.Data) {
				t.Errorf("reads %q", p)
			}
		}
		again, err := j.Shared()
		if err != nil {
			return // too long
		}
		if j, err = job.Join(again, local); err != nil {
			t.Fatalf("%v:\n%s", err, again)
		}
		if third := shared(t, j); third != string(again) {
			t.Errorf("%s\nbecomes\n%s", again, third)
		}
	})
}
